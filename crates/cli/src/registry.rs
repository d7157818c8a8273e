//! The way to registries: what the library wants to be told, gathered from this machine.

use std::env;
use std::error::Error as StdError;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use dfbuild::remote::{ClientOptions, Proxy};
use dfbuild::{Cancel, Engine, Error, Platform, Reference};

use crate::args::{ProgressArg, PullArgs, PushArgs, RegistryArgs, TransferArgs};
use crate::colour::is_dumb;
use crate::credentials;
use crate::failure::Failure;
use crate::progress::{Mode, Progress};
use crate::signals::{self, Asked, Interrupted};
use crate::source::Source;
use crate::units;

/// How registries are reached, as the flags and the environment want it. `progress` shows what has
/// to be tried again.
pub(crate) fn network(
    args: &RegistryArgs,
    progress: &Arc<Progress>,
) -> Result<ClientOptions, Box<dyn StdError>> {
    let progress = Arc::clone(progress);
    let on_retry = move |error: &dfbuild::remote::Error, wait| {
        progress.note(&format!("{error}; next try in {}", units::seconds(wait)));
    };
    let mut options = ClientOptions {
        insecure: args.insecure_registry.clone(),
        offline: args.offline,
        proxy: proxy(&|name| env::var(name).ok()),
        on_retry: Some(Arc::new(on_retry)),
        ..ClientOptions::default()
    };
    if !args.registry_mirror.is_empty() {
        options.mirrors.insert("docker.io".to_owned(), args.registry_mirror.clone());
    }
    let from_environment = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    for file in args.registry_ca.iter().chain(&from_environment) {
        let pem = fs::read(file).map_err(|error| format!("read {}: {error}", file.display()))?;
        options.extra_ca_pem.push(pem);
    }
    options.credentials = Arc::new(credentials::of_this_machine()?);
    Ok(options)
}

/// Gives the engine its way to the registries that layers of its images were left in. Nothing is drawn: the
/// terminal may be that of a command.
pub(crate) fn reach(engine: Engine, args: &RegistryArgs) -> Result<Engine, Box<dyn StdError>> {
    let options = network(args, &Arc::new(Progress::new(Mode::Quiet, false)))?;
    Ok(engine.with_network(options))
}

/// Pulls an image into the store.
pub(crate) fn pull(args: &PullArgs, root: PathBuf) -> Result<(), Box<dyn StdError>> {
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let engine = Engine::open(root)?;
    let (pulled, _) =
        transfer(engine, &args.transfer, &args.registries, |engine, show, cancel| {
            engine.pull(&args.name, &platform, show, cancel)
        })?;
    print(pulled.digest().as_ref())
}

/// Pulls an image that is to be run, and gives the engine back.
pub(crate) fn pull_for_run(
    engine: Engine,
    reference: &Reference,
    platform: &Platform,
    registries: &RegistryArgs,
) -> Result<Engine, Box<dyn StdError>> {
    let show = TransferArgs { progress: ProgressArg::Auto, quiet: false };
    let (_, engine) = transfer(engine, &show, registries, |engine, show, cancel| {
        engine.pull(reference, platform, show, cancel)
    })?;
    Ok(engine)
}

/// Pushes an image of the store.
pub(crate) fn push(args: &PushArgs, root: PathBuf) -> Result<(), Box<dyn StdError>> {
    if args.registries.offline {
        return Err("--offline asks nobody, and a push sends to a registry".into());
    }
    let reference: Reference = args.name.parse()?;
    let engine = Engine::open(root)?;
    let references =
        if args.all_tags { all_tags(&engine, &args.name, &reference)? } else { vec![reference] };
    let (digests, _) =
        transfer(engine, &args.transfer, &args.registries, |engine, show, cancel| {
            let push = |reference: &Reference| {
                engine.push(reference, args.platform.as_ref(), show, cancel)
            };
            references.iter().map(push).collect::<Result<Vec<_>, _>>()
        })?;
    digests.iter().try_for_each(|digest| print(&digest.to_string()))
}

/// The images of a name, whatever their tags.
fn all_tags(
    engine: &Engine,
    name: &str,
    reference: &Reference,
) -> Result<Vec<Reference>, Box<dyn StdError>> {
    if name.rsplit('/').next().is_some_and(|last| last.contains([':', '@'])) {
        return Err(format!("--all-tags pushes all tags of a name: {name} has one already").into());
    }
    let images = engine.images()?.into_iter().map(|image| image.reference);
    let place = |it: &Reference| (it.registry.clone(), it.repository.clone());
    let found: Vec<Reference> = images.filter(|it| place(it) == place(reference)).collect();
    if found.is_empty() {
        return Err(format!("push {name}: no image in the store has that name").into());
    }
    Ok(found)
}

/// Does work that shows what happens, and that Ctrl-C ends. Gives the engine back with its result.
fn transfer<T>(
    engine: Engine,
    args: &TransferArgs,
    registries: &RegistryArgs,
    work: impl FnOnce(&Engine, &Progress, &Cancel) -> Result<T, Error>,
) -> Result<(T, Engine), Box<dyn StdError>> {
    let mode = Mode::resolve(args.progress, args.quiet, is_dumb());
    let progress = Arc::new(Progress::new(mode, false));
    let engine = engine.with_network(network(registries, &progress)?);
    let cancel = Cancel::new();
    let told = Arc::clone(&progress);
    let on_signal = move |asked| {
        if asked == Asked::EndAtOnce {
            told.try_close();
        }
    };
    let ended = signals::watch(cancel.clone(), on_signal)?;
    let done = work(&engine, &progress, &cancel);
    ended.release();
    let error = match done {
        Ok(done) => {
            progress.close();
            return Ok((done, engine));
        }
        Err(error) => error,
    };
    let failure = Failure::of(&error, &Source::default());
    progress.failed(&failure);
    let interrupted = ended.exit_code().filter(|_| matches!(error, Error::Cancelled));
    match (mode, interrupted) {
        // The log is for programs, and has it.
        (Mode::Rawjson, code) => Err(Told { code: code.unwrap_or(1) }.into()),
        (_, Some(code)) => Err(Interrupted { code }.into()),
        (_, None) => Err(error.into()),
    }
}

/// A failure that was shown already.
#[derive(Debug, thiserror::Error)]
#[error("it was said why")]
pub(crate) struct Told {
    /// What the command exits with.
    pub(crate) code: u8,
}

fn print(line: &str) -> Result<(), Box<dyn StdError>> {
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}

/// Both cases are in use; the lower one wins, as in curl.
fn proxy(environment: &dyn Fn(&str) -> Option<String>) -> Proxy {
    let get = |name: &str| {
        let value = environment(&name.to_lowercase()).or_else(|| environment(name));
        value.filter(|value| !value.is_empty())
    };
    let hosts = get("NO_PROXY").unwrap_or_default();
    let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
    Proxy {
        http: get("HTTP_PROXY"),
        https: get("HTTPS_PROXY"),
        no_proxy: hosts.map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_in_both_cases() {
        let found = proxy(&|name| match name {
            "https_proxy" => Some("http://a:1".to_owned()),
            "HTTPS_PROXY" => Some("http://b:1".to_owned()),
            "NO_PROXY" => Some("x, .y,".to_owned()),
            _ => None,
        });
        let expected = Proxy {
            http: None,
            https: Some("http://a:1".to_owned()),
            no_proxy: vec!["x".to_owned(), ".y".to_owned()],
        };
        assert!(found == expected);
    }
}
