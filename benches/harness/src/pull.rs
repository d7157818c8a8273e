//! Row I: an image from a registry on this machine.

use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::contexts::Context;
use crate::measure::measure;
use crate::peers::{IMAGE, Job, Peer, run as run_quietly};
use crate::report::{PeerRuns, Row};
use crate::scenarios::Scale;

pub(crate) const TITLE: &str = "pull 5 layers of 60 MB from loopback, run true";
const MIB: usize = 1 << 20;

/// A registry that ends with the value.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    /// Debian's `docker-registry`, on a port that nobody uses.
    fn start(work: &Path) -> io::Result<Self> {
        let missing = |_| {
            let hint = "no docker-registry (Debian: apt install docker-registry)";
            io::Error::new(io::ErrorKind::NotFound, hint)
        };
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let (folder, config) = (work.join("registry"), work.join("registry.yml"));
        fs::create_dir_all(&folder)?;
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
             http: {{addr: {address}}}\n",
            folder.display()
        );
        fs::write(&config, text)?;
        let log = File::create(work.join("registry.log"))?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(missing)?;
        let registry = Self { child, address };
        let begun = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(io::Error::other("the registry does not answer"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds the image with the first builder, has it pushed, and measures builds on it from nothing.
pub(crate) fn run(
    peers: &[Box<dyn Peer>],
    runs: usize,
    scale: &Scale,
    work: &Path,
) -> io::Result<Row> {
    let registry = Registry::start(work)?;
    let folder = work.join("context");
    let copies: Vec<String> = (0..5).map(|n| format!("COPY layer{n} /layer{n}\n")).collect();
    let context = Context::new(folder.clone(), &copies.concat())?;
    for number in 0..5_u64 {
        let size = 60 * MIB / scale.smaller;
        context.add_half_compressible(&format!("layer{number}"), size, number)?;
    }
    let name = format!("{}/{IMAGE}:pull", registry.address);
    let (first, others) = peers.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    first.reset()?;
    let registry_job = Job { registry: Some(registry.address.clone()), ..Job::new(&folder) };
    let named = Job { name: Some(name.clone()), ..registry_job.clone() };
    run_quietly(first.build(&named).arg("--push"))?;
    fs::remove_dir_all(&folder)?;
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("Dockerfile"), format!("FROM {name}\nRUN true\n"))?;
    let mut results: Vec<PeerRuns> = peers.iter().map(|peer| PeerRuns::new(peer.name())).collect();
    for _ in 0..runs {
        for (peer, result) in std::iter::once(first).chain(others).zip(&mut results) {
            peer.reset()?;
            result.runs.push(measure(&peer.build(&registry_job))?);
        }
    }
    peers.iter().try_for_each(|peer| peer.reset())?;
    fs::remove_dir_all(&folder)?;
    Ok(Row { id: "I".to_owned(), title: TITLE.to_owned(), bar: 0.5, peers: results })
}
