//! The stages of a file in the order in which the reference implementation converts them, without building anything.

use std::collections::HashMap;

use super::dispatch;
use super::env::Env;
use super::from::{self, Globals};
use super::linter::{Linter, Place};
use super::platform::Platform;
use super::shared_map::SharedMap;
use super::{BaseImage, LintOptions, Problem, reference, stages, syntax};
use crate::Parsed;
use crate::Word;
use crate::ast::{Comments, Dockerfile, Instruction, InstructionKind, MountFlag, Stage};
use crate::build::transfer::variable_in_from;
use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::expand::Expander;
use crate::node::Node;
use crate::quote::quote;
use crate::span::{LineRange, Span};

/// The `PATH` of images that set none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What stopped the conversion.
pub(super) type Failed = Problem;

impl Failed {
    /// An error of an instruction.
    pub(super) fn at(instruction: &Instruction, message: String) -> Self {
        Self { message, span: instruction.head, lines: Some(instruction.lines) }
    }

    /// An error that has no place for the reference implementation.
    fn without_lines(message: String, span: Span) -> Self {
        Self { message, span, lines: None }
    }
}

/// What is in force at a place in a stage.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// `FROM` by number, if the base is a stage.
    base: Option<usize>,
    /// The name of the base, after expansion.
    base_name: String,
    /// For messages.
    pub(super) name: String,
    pub(super) platform: Platform,
    /// `ENV` and `ARG`.
    pub(super) env: Env,
    /// The names of `ARG`.
    pub(super) arguments: SharedMap<()>,
    pub(super) shell: bool,
    pub(super) working_dir: String,
    pub(super) workdir_set: bool,
    /// Whether the variables of the base are not known.
    pub(super) unknown_base: bool,
}

/// Converts a file.
pub(super) fn run(
    linter: &mut Linter,
    parsed: &Parsed,
    options: &LintOptions,
) -> Result<(), Failed> {
    read(linter, parsed, options.compat)?;
    let dockerfile = &parsed.dockerfile;
    stages::names(linter, dockerfile);
    stages::casing(linter, dockerfile);

    let host = Platform {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        variant: String::new(),
    };
    let fail = |message| Failed::without_lines(message, Span::at(0));
    let host = Platform::parse(&options.build_platform, &host).map_err(fail)?;
    let target_platform = Platform::parse(&options.platform, &host).map_err(fail)?;
    let last = dockerfile.stages().last().and_then(|it| it.from().name.as_ref());
    let target = options.target.as_deref().or(last.map(Word::as_str));
    let automatic = Env::automatic(options, &host, &target_platform, target.unwrap_or("default"));
    from::default_arguments(linter, dockerfile, &automatic);
    let given = |name: &str| options.build_args.get(name).cloned();
    let globals = Globals::read(automatic, dockerfile, &given)?;
    globals.record(linter, dockerfile);

    let mut converter = Converter {
        dockerfile,
        options,
        globals,
        host,
        target_platform,
        expander: Expander::new(dockerfile.escape()),
        scopes: Vec::new(),
        names: names(dockerfile),
        triggers: dockerfile.stages().map(triggers).collect(),
        done: vec![false; dockerfile.stages().len()],
    };
    converter.bases(linter)?;
    let target = converter.target()?;
    let dependencies = converter.dependencies()?;
    converter.check_cycles(&dependencies)?;
    converter.check_references(linter)?;
    converter.stages(linter, target, &dependencies)
}

/// The two passes of the parser: the whole file into words, then those into instructions up to the first bad one.
fn read(linter: &mut Linter, parsed: &Parsed, compat: bool) -> Result<(), Failed> {
    let errors = || parsed.diagnostics.iter().filter(|it| it.is_error());
    let no_stages = |it: &Diagnostic| it.kind == DiagnosticKind::NoStages;
    let of_instruction =
        |it: &Diagnostic| it.line.is_some() || it.kind == DiagnosticKind::BeforeFrom;
    let later = |it: &Diagnostic| it.kind == DiagnosticKind::NoExpansion;
    if let Some(error) = errors().find(|it| !of_instruction(it) && !no_stages(it) && !later(it)) {
        let lines = Some(linter.index.lines(error.span));
        return Err(Failed { message: error.full_text(), span: error.span, lines });
    }
    // The words of an instruction that could not be read are only in the low-level tree.
    let nodes = crate::tree(linter.source).nodes;
    for node in &nodes {
        syntax::empty_continuation(linter, node, compat);
    }
    // All that are known of an instruction are found by its line or by its keyword; the first one counts.
    let mut by_line: HashMap<usize, &Diagnostic> = HashMap::new();
    let mut by_keyword: HashMap<Span, &Diagnostic> = HashMap::new();
    for error in errors().filter(|it| of_instruction(it)) {
        match error.line {
            Some(line) => by_line.entry(line).or_insert(error),
            None => by_keyword.entry(error.span).or_insert(error),
        };
    }
    for node in &nodes {
        syntax::before_reading(linter, node);
        let here = [by_line.get(&node.lines.start), by_keyword.get(&node.keyword.span)];
        if let Some(error) = here.into_iter().flatten().min_by_key(|it| it.span.start) {
            return Err(failed_at_node(node, error));
        }
        syntax::after_reading(linter, node);
    }
    match errors().find(|it| no_stages(it)) {
        Some(error) => Err(Failed::without_lines(error.full_text(), error.span)),
        None => Ok(()),
    }
}

fn failed_at_node(node: &Node, error: &Diagnostic) -> Failed {
    Failed { message: error.full_text(), span: error.span, lines: Some(node.lines) }
}

/// The stages that the instructions of each stage name.
type Dependencies = Vec<Vec<(usize, LineRange, Span)>>;

pub(super) struct Converter<'a> {
    pub(super) dockerfile: &'a Dockerfile<'a>,
    pub(super) options: &'a LintOptions,
    pub(super) globals: Globals,
    host: Platform,
    target_platform: Platform,
    pub(super) expander: Expander,
    scopes: Vec<Scope>,
    /// The stages of each name in lower case, in order.
    names: HashMap<String, Vec<usize>>,
    /// The triggers of each stage.
    triggers: Vec<Vec<String>>,
    /// Which stages have been converted.
    done: Vec<bool>,
}

/// The triggers of a stage.
fn triggers(stage: Stage) -> Vec<String> {
    let trigger = |it: &Instruction| match &it.kind {
        InstructionKind::Onbuild(onbuild) => Some(onbuild.trigger.to_string()),
        _ => None,
    };
    stage.instructions.iter().filter_map(trigger).collect()
}

/// The stages of each name in lower case, in order.
fn names(dockerfile: &Dockerfile) -> HashMap<String, Vec<usize>> {
    let mut names: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, stage) in dockerfile.stages().enumerate() {
        if let Some(name) = &stage.from().name {
            names.entry(name.value.to_ascii_lowercase()).or_default().push(index);
        }
    }
    names
}

/// What `--from` means.
pub(super) enum Origin {
    Stage(usize),
    /// An image or a named context.
    Image(String),
}

impl Converter<'_> {
    /// Expands all `FROM` instructions.
    fn bases(&mut self, linter: &mut Linter) -> Result<(), Failed> {
        for (index, stage) in self.dockerfile.stages().enumerate() {
            let base_name = self.globals.base_name(linter, stage, self.expander)?;
            let platform = match &stage.from().platform {
                Some(written) => {
                    self.globals.platform(linter, stage, written, self.expander, &self.host)?
                }
                None => self.target_platform.clone(),
            };
            let name = match &stage.from().name {
                Some(name) => name.value.to_string(),
                None => format!("stage-{index}"),
            };
            let base = self.earlier_stage(index, &base_name);
            let (env, expander) = (&self.globals.env, self.expander);
            linter.record(stage.header, &mut |word| env.expand(expander, word).value.ok());
            self.scopes.push(Scope {
                base,
                base_name,
                name,
                platform,
                env: Env::default(),
                arguments: SharedMap::default(),
                shell: false,
                working_dir: "/".to_owned(),
                workdir_set: false,
                unknown_base: false,
            });
        }
        Ok(())
    }

    /// The last stage of this name before number `index`. The reference implementation wants the name in lower case.
    fn earlier_stage(&self, index: usize, name: &str) -> Option<usize> {
        let lower = name.to_ascii_lowercase();
        if self.options.compat && lower != name {
            return None;
        }
        let stages = self.names.get(&lower)?;
        stages[..stages.partition_point(|it| *it < index)].last().copied()
    }

    fn target(&self) -> Result<usize, Failed> {
        let stages = self.dockerfile.stages();
        let Some(name) = &self.options.target else { return Ok(stages.len() - 1) };
        self.named_stage(name).ok_or_else(|| {
            let message = format!("target stage {} could not be found", quote(name));
            Failed::without_lines(message, Span::at(0))
        })
    }

    fn named_stage(&self, name: &str) -> Option<usize> {
        self.names.get(&name.to_ascii_lowercase())?.last().copied()
    }

    /// What `COPY --from=name` means.
    pub(super) fn origin(&self, name: &str) -> Result<Origin, String> {
        match name.parse::<i64>() {
            Ok(number) => usize::try_from(number)
                .ok()
                .filter(|number| *number < self.dockerfile.stages().len())
                .map(Origin::Stage)
                .ok_or_else(|| format!("invalid stage index {number}")),
            Err(_) => Ok(self.mount_origin(name)),
        }
    }

    /// What `RUN --mount=from=name` means: a number is a name here.
    pub(super) fn mount_origin(&self, name: &str) -> Origin {
        self.named_stage(name).map_or_else(|| Origin::Image(name.to_owned()), Origin::Stage)
    }

    /// Whether the instructions of a stage have been converted.
    pub(super) fn is_done(&self, stage: usize) -> bool {
        self.done[stage]
    }

    fn dependencies(&self) -> Result<Dependencies, Failed> {
        let mut all = Dependencies::new();
        for stage in self.dockerfile.stages() {
            let mut found = Vec::new();
            for instruction in stage.instructions {
                for origin in self.origins(instruction)? {
                    if let Origin::Stage(index) = origin {
                        found.push((index, instruction.lines, instruction.head));
                    }
                }
            }
            all.push(found);
        }
        Ok(all)
    }

    fn origins(&self, instruction: &Instruction) -> Result<Vec<Origin>, Failed> {
        let without_lines = |message| Failed::without_lines(message, instruction.head);
        match &instruction.kind {
            InstructionKind::Copy(copy) => {
                let Some(from) = copy.from() else { return Ok(Vec::new()) };
                if let Some(error) = variable_in_from(&from) {
                    return Err(without_lines(error.message));
                }
                let origin = self.origin(&from.value).map_err(without_lines)?;
                Ok(vec![origin])
            }
            InstructionKind::Run(run) => {
                let names = run.mounts().filter_map(|it| mount_from(&it));
                Ok(names.map(|name| self.mount_origin(&name)).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn check_cycles(&self, dependencies: &Dependencies) -> Result<(), Failed> {
        let mut visited = vec![false; dependencies.len()];
        let mut on_way = vec![false; dependencies.len()];
        for start in 0..dependencies.len() {
            // The way here: a stage, and which of its dependencies comes next.
            let mut way = vec![(start, 0)];
            while let Some((stage, next)) = way.last_mut() {
                if *next == 0 && std::mem::replace(&mut visited[*stage], true) {
                    way.pop();
                    continue;
                }
                on_way[*stage] = true;
                let Some((dependency, lines, span)) = dependencies[*stage].get(*next) else {
                    on_way[*stage] = false;
                    way.pop();
                    continue;
                };
                *next += 1;
                if on_way[*dependency] {
                    let name = &self.scopes[start].name;
                    let message = format!("circular dependency detected on stage: {name}");
                    return Err(Failed { message, span: *span, lines: Some(*lines) });
                }
                way.push((*dependency, 0));
            }
        }
        Ok(())
    }

    /// Whether all images have names that images can have, and the platforms that were asked for.
    fn check_references(&self, linter: &mut Linter) -> Result<(), Failed> {
        let mut failed = Vec::new();
        for (stage, scope) in self.dockerfile.stages().zip(&self.scopes) {
            let name = scope.base_name.as_str();
            if scope.base.is_some() || name == "scratch" || self.is_replaced(stage) {
                continue;
            }
            failed.extend(self.check_reference(name, stage.header));
            let pulled = self.options.bases.get(name).and_then(|it| it.platform.as_deref());
            if let Some(Ok(pulled)) = pulled.map(|it| Platform::parse(it, &self.host)) {
                from::pulled_platform(linter, stage, name, &scope.platform, &pulled);
            }
        }
        for instruction in self.dockerfile.stages().flat_map(|it| it.instructions) {
            for origin in self.origins(instruction)? {
                if let Origin::Image(name) = origin {
                    failed.extend(self.check_reference(&name, instruction));
                }
            }
        }
        // The reference implementation asks for all images at once, and the last one is mostly the first to fail.
        let first = if self.options.compat { failed.pop() } else { failed.into_iter().next() };
        first.map_or(Ok(()), Err)
    }

    fn check_reference(&self, name: &str, instruction: &Instruction) -> Option<Failed> {
        if self.options.named_contexts.contains(name) {
            return None;
        }
        let reason = reference::check(name).err()?;
        let message = format!("failed to parse stage name {}: {reason}", quote(name));
        Some(Failed::at(instruction, message))
    }

    /// Whether a named context takes the place of a stage.
    fn is_replaced(&self, stage: Stage) -> bool {
        let contexts = &self.options.named_contexts;
        stage.from().name.as_ref().is_some_and(|name| contexts.contains(name.as_str()))
    }

    /// Converts the instructions of the stages that matter.
    fn stages(
        &mut self,
        linter: &mut Linter,
        target: usize,
        dependencies: &Dependencies,
    ) -> Result<(), Failed> {
        let needed = self.needed(target, dependencies);
        let all = self.options.all_stages && self.options.target.is_none();
        for (index, stage) in self.dockerfile.stages().enumerate() {
            if self.is_replaced(stage) {
                self.done[index] = true;
                continue;
            }
            if !all && !needed[index] {
                continue;
            }
            let mut scope = self.open(index);
            // A stage counts as converted from its beginning on.
            self.done[index] = true;
            let triggers = if needed[index] { self.triggers(&scope) } else { Vec::new() };
            dispatch::stage(self, linter, stage, &triggers, &mut scope)?;
            self.scopes[index] = scope;
        }
        Ok(())
    }

    fn needed(&self, target: usize, dependencies: &Dependencies) -> Vec<bool> {
        let mut needed = vec![false; self.scopes.len()];
        let mut open = vec![target];
        while let Some(stage) = open.pop() {
            if !std::mem::replace(&mut needed[stage], true) {
                open.extend(self.scopes[stage].base);
                open.extend(dependencies[stage].iter().map(|(stage, ..)| *stage));
            }
        }
        needed
    }

    /// The scope right after `FROM`.
    fn open(&self, index: usize) -> Scope {
        let own = &self.scopes[index];
        let mut scope = match own.base {
            Some(base) => {
                let parent = &self.scopes[base];
                Scope {
                    base: own.base,
                    base_name: own.base_name.clone(),
                    name: own.name.clone(),
                    platform: parent.platform.clone(),
                    env: parent.env.on_top(),
                    arguments: parent.arguments.clone(),
                    working_dir: parent.working_dir.clone(),
                    ..*parent
                }
            }
            None => own.clone(),
        };
        if own.base.is_none() {
            let known = self.options.bases.get(&own.base_name);
            scope.unknown_base = known.is_none() && own.base_name != "scratch";
            let empty = BaseImage::default();
            let image = known.unwrap_or(&empty);
            scope.env.set_in_image("PATH", DEFAULT_PATH);
            for (name, value) in &image.env {
                scope.env.set_in_image(name, value);
            }
            scope.shell = image.shell;
            if !image.working_dir.is_empty() {
                scope.working_dir.clone_from(&image.working_dir);
            }
        }
        scope
    }

    /// The triggers of the base: of an image, or of the stage that a stage stands on.
    fn triggers(&self, scope: &Scope) -> Vec<String> {
        let Some(base) = scope.base else {
            let image = self.options.bases.get(&scope.base_name);
            return image.map(|it| it.on_build.clone()).unwrap_or_default();
        };
        self.triggers[base].clone()
    }
}

/// The `from` of a mount, which is never expanded.
fn mount_from(mount: &MountFlag) -> Option<String> {
    let keep = &mut |value: &str| Ok(value.to_owned());
    mount.resolve(keep).ok()?.from.filter(|it| !it.is_empty())
}

impl<'a> Place<'a> {
    /// The place of a trigger is the `FROM` that fires it.
    pub(super) fn of_trigger(stage: Stage<'a, 'a>) -> Self {
        Self { comments: Comments::default(), is_trigger: true, ..Self::of(stage.header) }
    }
}
