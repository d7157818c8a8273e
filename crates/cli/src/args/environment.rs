//! What docker takes from the environment where no flag says otherwise.

use dfbuild::Platform;

use super::values::parse_platform;
use super::{Cli, Command};

/// The platform of builds, pulls and runs that are not given one.
pub(crate) const PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";

impl Cli {
    /// Takes what docker takes from the environment for commands that name no platform.
    pub(crate) fn with_environment(
        mut self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let Some(value) = environment(PLATFORM).filter(|value| !value.is_empty()) else {
            return Ok(self);
        };
        let given = || match parse_platform(&value) {
            Ok(platform) => Ok(platform),
            Err(text) => Err(format!("{PLATFORM}={value}: {text}")),
        };
        let several = |platforms: &mut Vec<Platform>| -> Result<(), String> {
            if platforms.is_empty() {
                platforms.push(given()?);
            }
            Ok(())
        };
        let one = |platform: &mut Option<Platform>| -> Result<(), String> {
            if platform.is_none() {
                *platform = Some(given()?);
            }
            Ok(())
        };
        match &mut self.command {
            Command::Build(args) | Command::Verify(args) => several(&mut args.platform),
            Command::Explain(args) => several(&mut args.build.platform),
            Command::Check(args) => one(&mut args.platform),
            Command::Pull(args) => one(&mut args.platform),
            Command::Run(args) => one(&mut args.platform),
            _ => Ok(()),
        }?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn the_platform_of_the_environment() {
        let with = |line: &str, value: &str| {
            let cli = Cli::read(line.split(' ').map(OsString::from)).unwrap();
            cli.with_environment(&|name| (name == PLATFORM).then(|| value.to_owned()))
        };
        for (line, value, expect) in [
            ("dfbuild build .", "linux/arm64", "linux/arm64"),
            ("dfbuild build .", "", ""),
            ("dfbuild build --platform linux/386 .", "linux/arm64", "linux/386"),
        ] {
            let Command::Build(args) = with(line, value).unwrap().command else { panic!("{line}") };
            let found: Vec<String> = args.platform.iter().map(ToString::to_string).collect();
            assert_eq!(found.concat(), expect, "{line} {value}");
        }
        let Command::Run(args) = with("dfbuild run app", "linux/arm64").unwrap().command else {
            panic!()
        };
        assert_eq!(args.platform.unwrap().to_string(), "linux/arm64");
        let error = with("dfbuild pull app", "arm65").unwrap_err();
        assert!(error.starts_with("DOCKER_DEFAULT_PLATFORM=arm65: "), "{error}");
        assert!(with("dfbuild images", "arm65").is_ok());
    }
}
