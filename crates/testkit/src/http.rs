//! Web servers in this process that do whatever a test wants.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Whatever a test does, no thread waits longer for the other side.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, …
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// What came with it.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header, by its name in lower case; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether it has this method, and a path that contains `part`.
    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }

    /// The path without the query.
    pub fn route(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The length is added where it is missing.
    pub headers: Vec<(String, String)>,
    /// What goes with it; only its length if the method is `HEAD`.
    pub body: Vec<u8>,
    /// The connection ends after that many bytes of the body.
    pub cut: Option<usize>,
    /// The connection ends without an answer.
    pub hang_up: bool,
    /// After what is sent, nothing happens any more.
    pub stall: bool,
}

impl Reply {
    /// One without a body.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// The same with one more header.
    #[must_use = "the reply is returned"]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same with a body.
    #[must_use = "the reply is returned"]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// What a registry answers to what it refuses (distribution-spec, "Error Codes").
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
        Self::new(status).with("content-type", "application/json").body(body)
    }
}

/// Answers a request. Also gets how many like it (method and path without the query) came before.
pub type Handler = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// A web server on a free port of this machine, which ends with the value.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    handler: Box<Handler>,
    log: Mutex<Vec<Request>>,
    ended: AtomicBool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("log", &self.log).finish_non_exhaustive()
    }
}

impl HttpServer {
    /// Answers each request, several at a time, as `handler` does.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            handler: Box::new(handler),
            log: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || accept(&listener, &shared));
        Self { address, state, thread: Some(thread) }
    }

    /// Where it is: `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests have this method and a path that contains `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.requests().iter().filter(|request| request.is(method, part)).count()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // It has to be woken up to see that.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, state: &Arc<State>) {
    for stream in listener.incoming() {
        if state.ended.load(Ordering::SeqCst) {
            return;
        }
        let (Ok(stream), state) = (stream, Arc::clone(state)) else { continue };
        std::thread::spawn(move || {
            // A client that goes away is the test's business.
            let _ = serve(&state, stream);
        });
    }
}

fn serve(state: &State, stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader)? {
        let before = {
            let mut log = state.log.lock().unwrap_or_else(PoisonError::into_inner);
            let same = |known: &&Request| {
                known.method == request.method && known.route() == request.route()
            };
            let before = log.iter().filter(same).count();
            log.push(request.clone());
            before
        };
        let reply = (state.handler)(&request, before);
        if reply.hang_up {
            return Ok(());
        }
        write_reply(&mut stream, &request, &reply)?;
        if reply.stall {
            // Until the client loses patience and hangs up.
            let _ = reader.read_to_end(&mut Vec::new());
            return Ok(());
        }
        if reply.cut.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

fn write_reply(stream: &mut TcpStream, request: &Request, reply: &Reply) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    head.push_str("\r\n");
    let sent = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
    let body: &[u8] = if request.method == "HEAD" { &[] } else { &reply.body[..sent] };
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let mut request = Request {
        method: words.next().unwrap_or_default().to_owned(),
        path: words.next().unwrap_or_default().to_owned(),
        ..Request::default()
    };
    request.headers = read_headers(reader)?.into_iter().collect();
    let length: u64 = request.header("content-length").parse().unwrap_or(0);
    reader.take(length).read_to_end(&mut request.body)?;
    Ok(Some(request))
}

/// The headers up to the empty line, with names in lower case.
fn read_headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(headers) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// What the server at `upstream` answers to a request. In HTTP/1.0, so that the answer ends with the
/// connection and is not in chunks.
pub(crate) fn forward(upstream: &str, request: &Request) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(upstream)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{} {} HTTP/1.0\r\n", request.method, request.path);
    for (name, value) in &request.headers {
        if name != "connection" {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(&request.body)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let mut headers = read_headers(&mut reader)?;
    headers.retain(|(name, _)| name != "connection");
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    Ok(Reply { status, headers, body, ..Reply::default() })
}
