//! What stands between a client and a server, and what can go wrong there.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::http::forward;
use crate::{HttpServer, Reply, Request};

/// A server in front of another one, which answers in its place where a test wants it to.
#[derive(Debug)]
pub struct FaultProxy(HttpServer);

impl FaultProxy {
    /// In front of the server at `upstream` (`127.0.0.1:PORT`). `fault` gets a request, how many like it
    /// came before, and what asks the server itself.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(
        upstream: &str,
        fault: impl Fn(&Request, usize, &dyn Fn() -> Reply) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let upstream = upstream.to_owned();
        Self(HttpServer::start(move |request, before| {
            let ask = || forward(&upstream, request).unwrap_or_else(|_| Reply::new(502));
            fault(request, before, &ask)
        }))
    }

    /// The server that it is: where, and what it was asked.
    pub fn server(&self) -> &HttpServer {
        &self.0
    }
}

/// A proxy that knows `CONNECT` alone, and connects to one server whatever host is asked for: so a
/// server of a test can have any name.
#[derive(Debug)]
pub struct Tunnel {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: String,
    count: AtomicUsize,
    ended: AtomicBool,
}

impl Tunnel {
    /// To the server at `target` (`127.0.0.1:PORT`).
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            count: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if state.ended.load(Ordering::SeqCst) {
                    return;
                }
                state.count.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&state);
                std::thread::spawn(move || tunnel(stream, &state.target));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// As `HTTPS_PROXY` wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.count.load(Ordering::SeqCst)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Carries bytes both ways until one side ends.
fn tunnel(mut client: TcpStream, target: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        io::Read::read_exact(&mut client, &mut byte)?;
        head.push(byte[0]);
    }
    let mut server = TcpStream::connect(target)?;
    io::Write::write_all(&mut client, b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut up, mut down) = (client.try_clone()?, server.try_clone()?);
    let back = std::thread::spawn(move || {
        let _ = io::copy(&mut down, &mut up);
        let _ = up.shutdown(Shutdown::Both);
    });
    let _ = io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Both);
    let _ = back.join();
    Ok(())
}
