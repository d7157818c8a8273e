//! Rules about `FROM`: its arguments, its platform and its image.

use std::collections::BTreeSet;

use super::convert::Failed;
use super::env::{Env, Word};
use super::expanded::quoted;
use super::linter::{Linter, Place};
use super::platform::Platform;
use super::reference;
use super::rule::{
    FROM_PLATFORM_FLAG_CONST_DISALLOWED, INVALID_BASE_IMAGE_PLATFORM, INVALID_DEFAULT_ARG_IN_FROM,
    REDUNDANT_TARGET_PLATFORM, UNDEFINED_ARG_IN_FROM,
};
use crate::ast::{Dockerfile, InstructionKind, Stage};
use crate::expand::Expander;
use crate::quote::quote;
use crate::span;
use crate::suggest;

/// Global arguments with values, and all that are declared.
#[derive(Clone, Debug)]
pub(super) struct Globals {
    pub(super) env: Env,
    pub(super) declared: BTreeSet<String>,
}

impl Globals {
    /// Reads the `ARG` instructions before the first stage. `given` looks up a build argument.
    pub(super) fn read(
        automatic: Env,
        dockerfile: &Dockerfile,
        given: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Failed> {
        let expander = Expander::new(dockerfile.escape());
        let mut globals = Self { env: automatic, declared: BTreeSet::new() };
        for instruction in dockerfile.global_args() {
            let InstructionKind::Arg(arg) = &instruction.kind else { continue };
            for declaration in &arg.declarations {
                let name = &declaration.name.value;
                let value = match (given(name), &declaration.value) {
                    (Some(value), _) => Some(value),
                    (None, Some(word)) => {
                        let value = globals.env.expand(expander, &word.value).value;
                        Some(value.map_err(|error| Failed::at(instruction, error.to_string()))?)
                    }
                    (None, None) => None,
                };
                globals.declared.insert(name.to_string());
                if let Some(value) = value {
                    globals.env.set(name, value);
                }
            }
        }
        Ok(globals)
    }

    /// Notes the global arguments with their values.
    pub(super) fn record(&self, linter: &mut Linter, dockerfile: &Dockerfile) {
        for instruction in dockerfile.global_args() {
            let InstructionKind::Arg(arg) = &instruction.kind else { continue };
            let mut text = instruction.keyword_text().into_owned();
            for declaration in &arg.declarations {
                let name = declaration.name.as_str();
                text.push_str(&format!(" {name}"));
                if let Some(value) = self.env.get(name) {
                    text.push_str(&format!("={}", quoted(value)));
                }
            }
            linter.record_text(instruction, text);
        }
    }

    /// `UndefinedArgInFrom`.
    fn check_declared(&self, linter: &mut Linter, place: Place, unmatched: &BTreeSet<String>) {
        let known: BTreeSet<&str> =
            self.env.names().chain(self.declared.iter().map(String::as_str)).collect();
        for name in unmatched.iter().filter(|name| !known.contains(name.as_str())) {
            let meant = suggest::closest(name, known.iter().copied())
                .map_or(String::new(), |it| format!(" (did you mean {it}?)"));
            let detail = format!("FROM argument '{name}' is not declared{meant}");
            linter.warn(&UNDEFINED_ARG_IN_FROM, place, detail);
        }
    }

    /// The image that a stage stands on, after expansion.
    pub(super) fn base_name(
        &self,
        linter: &mut Linter,
        stage: Stage,
        expander: Expander,
    ) -> Result<String, Failed> {
        let written = &stage.from().image.value;
        let Word { value, unmatched, .. } = self.env.expand(expander, written);
        self.check_declared(linter, Place::of(stage.header), &unmatched);
        let name = value.map_err(|error| Failed::at(stage.header, error.to_string()))?;
        if name.is_empty() {
            let message = format!("base name ({written}) should not be blank");
            return Err(Failed::at(stage.header, message));
        }
        Ok(name)
    }

    /// The platform that a stage asks for.
    pub(super) fn platform(
        &self,
        linter: &mut Linter,
        stage: Stage,
        written: &span::Word,
        expander: Expander,
        host: &Platform,
    ) -> Result<Platform, Failed> {
        let place = Place::of(stage.header);
        let word = self.env.expand(expander, &written.value);
        self.check_declared(linter, place, &word.unmatched);
        self.check_redundant(linter, place, &written.value, &word);
        let written = &written.value;
        let fail = |message: String| Failed::at(stage.header, message);
        let text = match &word.value {
            Ok(text) => text.as_str(),
            Err(error) => {
                let message = format!("failed to process arguments for platform : {error}");
                return Err(fail(message));
            }
        };
        let platform = Platform::parse(text, host);
        if let (Ok(platform), true) =
            (&platform, word.matched.is_empty() && word.unmatched.is_empty())
        {
            let name = stage.from().name.as_ref().map_or("", |it| it.as_str());
            if !name.contains(&platform.os) && !name.contains(&platform.architecture) {
                let detail =
                    format!("FROM --platform flag should not use constant value {}", quote(text));
                linter.warn(&FROM_PLATFORM_FLAG_CONST_DISALLOWED, place, detail);
            }
        }
        let meant = word.unmatched.iter().find_map(|it| suggest::closest(it, self.env.names()));
        let meant = meant.map_or(String::new(), |it| format!(" (did you mean {it}?)"));
        if text.is_empty() {
            return Err(fail(format!("empty platform value from expression {written}{meant}")));
        }
        platform
            .map_err(|reason| fail(format!("failed to parse platform {written}: {reason}{meant}")))
    }

    /// `RedundantTargetPlatform`.
    fn check_redundant(&self, linter: &mut Linter, place: Place, written: &str, word: &Word) {
        const NAME: &str = "TARGETPLATFORM";
        let only = word.unmatched.is_empty() && word.matched.iter().eq([NAME]);
        if only && word.value.as_deref().ok() == self.env.get(NAME) {
            let detail = format!(
                "Setting platform to predefined {written} in FROM is redundant as this is the default behavior"
            );
            linter.warn(&REDUNDANT_TARGET_PLATFORM, place, detail);
        }
    }
}

/// `InvalidDefaultArgInFrom`: whether the images have names if nobody gives arguments.
pub(super) fn default_arguments(linter: &mut Linter, dockerfile: &Dockerfile, automatic: &Env) {
    // An error here comes up again with the real arguments.
    let Ok(globals) = Globals::read(automatic.clone(), dockerfile, &|_| None) else { return };
    let expander = Expander::new(dockerfile.escape());
    for stage in dockerfile.stages() {
        let written = &stage.from().image.value;
        let Ok(name) = globals.env.expand(expander, written).value else { return };
        if reference::check(&name).is_err() {
            let detail = format!(
                "Default value for ARG {written} results in empty or invalid base image name"
            );
            linter.warn(&INVALID_DEFAULT_ARG_IN_FROM, Place::of(stage.header), detail);
        }
    }
}

/// `InvalidBaseImagePlatform`.
pub(super) fn pulled_platform(
    linter: &mut Linter,
    stage: Stage,
    name: &str,
    wanted: &Platform,
    pulled: &Platform,
) {
    if (&wanted.os, &wanted.architecture) != (&pulled.os, &pulled.architecture) {
        let detail = format!(
            "Base image {name} was pulled with platform {}, expected {} for current build",
            quote(&pulled.to_string()),
            quote(&wanted.to_string())
        );
        linter.warn(&INVALID_BASE_IMAGE_PLATFORM, Place::of(stage.header), detail);
    }
}
