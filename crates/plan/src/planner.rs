use std::collections::{BTreeMap, BTreeSet};

use dfbuild_dockerfile::ast;
use dfbuild_dockerfile::expand::Expander;
use dfbuild_dockerfile::suggest::closest;
use dfbuild_dockerfile::{
    Diagnostic, DiagnosticKind, Instruction, InstructionKind, Span, Word, parse_trigger,
};
use dfbuild_image::{ImageConfig, Platform};

use crate::builtin_args::{automatic, is_predefined_arg, is_proxy_arg};
use crate::environment::Environment;
use crate::error::error;
use crate::graph::{Base, Graph, RunMount, Stage, StageId, TreeSource};
use crate::input::{BaseRequest, Input, NamedContext};
use crate::scope::{Place, Scope};
use crate::stage_refs::{context_key, references};

/// What [`plan`] came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The plan.
    Ready(Graph),
    /// The images that have to be resolved before it can be made; never empty.
    Need(BTreeMap<BaseRequest, Need>),
}

/// What is known of an image that has to be seen first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The first place in the Dockerfile that names it.
    pub span: Span,
    /// Whether commands run in it: some stage that begins with it has a `RUN`. Whoever fetches it
    /// can have its files ready for them. What its own triggers do is not known yet.
    pub runs: bool,
}

/// Plans the build of a target, or says which images it has to see first.
///
/// # Errors
/// Everything that is wrong with the stages that the target needs, each at its place in the file.
pub fn plan(input: &Input<'_>) -> Result<Outcome, Vec<Diagnostic>> {
    let mut planner = Planner::new(input);
    let target = planner.find_target();
    if let Some(index) = target {
        planner.stage(index);
    }
    if !planner.errors.is_empty() {
        return Err(planner.errors);
    }
    if !planner.needs.is_empty() {
        return Ok(Outcome::Need(planner.needs));
    }
    Ok(Outcome::Ready(planner.finish()))
}

pub(crate) struct Planner<'a> {
    input: &'a Input<'a>,
    /// Global arguments and the automatic ones.
    globals: Environment,
    /// By number in the file: the planned stage, or `None` if it waits for an image or has errors.
    planned: BTreeMap<usize, Option<StageId>>,
    stages: Vec<Stage>,
    /// The scopes at the end of `stages`.
    scopes: Vec<Scope>,
    needs: BTreeMap<BaseRequest, Need>,
    /// By number in the file: whether commands run in the stage or in one that begins with it.
    runs: Vec<bool>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    /// Build arguments that some `ARG` declares.
    consumed: BTreeSet<String>,
    epoch: Option<i64>,
}

/// An error that stops one instruction, or the discovery that an image has to be seen first.
enum Stop {
    Error(Diagnostic),
    Blocked,
}

impl From<Diagnostic> for Stop {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Error(diagnostic)
    }
}

impl<'a> Planner<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        let last = input.dockerfile.stages().last().and_then(|stage| stage.from().name.as_ref());
        let target = input.target.as_deref().or(last.map(Word::as_str)).unwrap_or("default");
        let mut globals = automatic(&input.build_platform, &input.platform, target);
        for (name, value) in &input.build_args {
            if globals.get(name).is_some() {
                globals.set(name, value.as_str());
            }
        }
        let mut planner = Self {
            input,
            globals,
            planned: BTreeMap::new(),
            stages: Vec::new(),
            scopes: Vec::new(),
            needs: BTreeMap::new(),
            runs: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
            consumed: BTreeSet::new(),
            epoch: None,
        };
        planner.runs = planner.find_runs();
        planner.global_args();
        planner.read_epoch();
        planner
    }

    fn global_args(&mut self) {
        for instruction in self.input.dockerfile.global_args() {
            let InstructionKind::Arg(arg) = &instruction.kind else { continue };
            for declaration in &arg.declarations {
                let name = &declaration.name.value;
                self.consumed.insert(name.to_string());
                let value = match (self.input.build_args.get(name.as_ref()), &declaration.value) {
                    (Some(value), _) => Some(value.clone()),
                    (None, Some(word)) => self.expand_global(word),
                    (None, None) => None,
                };
                if let Some(value) = value {
                    self.globals.set(name, value);
                }
            }
        }
    }

    /// `SOURCE_DATE_EPOCH`, as a build argument or the default of a global `ARG`.
    fn read_epoch(&mut self) {
        let name = "SOURCE_DATE_EPOCH";
        let given = self.input.build_args.get(name).map(String::as_str);
        let Some(text) = given.or(self.globals.get(name)).filter(|text| !text.is_empty()) else {
            return;
        };
        // The time of a source (BuildKit `dockerfile2llb/epoch.go`): a folder has none.
        if text == "context" {
            return;
        }
        let is_stage = |stage: &ast::Stage| {
            stage.from().name.as_ref().is_some_and(|name| name.value.eq_ignore_ascii_case(text))
        };
        self.epoch = text.trim().parse().ok();
        if let Some(stage) = self.input.dockerfile.stages().find(is_stage) {
            let problem = match stage.instructions.first() {
                Some(first) => error(
                    format!(
                        "SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported {} instruction",
                        first.kind.name()
                    ),
                    first.span,
                ),
                None => error("SOURCE_DATE_EPOCH stage has no source", stage.span()),
            };
            self.errors.push(problem);
        } else if self.epoch.is_none() {
            let problem = error(format!("invalid SOURCE_DATE_EPOCH: {text}"), Span::at(0));
            let help = "give seconds since 1970-01-01, as `date +%s` prints";
            self.errors.push(problem.with_help(help));
        }
    }

    fn expand_global(&mut self, word: &Word) -> Option<String> {
        let lookup = |name: &str| self.globals.get(name).map(ToOwned::to_owned);
        let expander = Expander::new(self.input.dockerfile.escape());
        match expander.expand_word(&word.value, &lookup) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.errors.push(error(problem.to_string(), word.span));
                None
            }
        }
    }

    fn find_target(&mut self) -> Option<usize> {
        let stages = || self.input.dockerfile.stages();
        let Some(name) = &self.input.target else { return stages().len().checked_sub(1) };
        let index = stages().rposition(|stage| {
            stage.from().name.as_ref().is_some_and(|known| known.value.eq_ignore_ascii_case(name))
        });
        if index.is_none() {
            let names: Vec<&str> =
                stages().filter_map(|s| Some(s.from().name.as_ref()?.as_str())).collect();
            let help = if names.is_empty() {
                "no stage has a name; give one with `FROM image AS name`".to_owned()
            } else {
                format!("the stages with names are {}", names.join(", "))
            };
            let message = format!("target stage {name:?} could not be found");
            let problem = Diagnostic::error(DiagnosticKind::Option, message, Span::at(0));
            let problem = problem.with_help(help);
            let suggestion = closest(&name.to_lowercase(), names.iter().copied());
            self.errors.push(problem.with_suggestion(suggestion.map(str::to_owned)));
        }
        index
    }

    /// Plans the stage with this number in the file, and those that it needs before it.
    fn stage(&mut self, index: usize) -> Option<StageId> {
        if let Some(known) = self.planned.get(&index) {
            return *known;
        }
        let planned = match self.plan_stage(index) {
            Ok(id) => Some(id),
            Err(Stop::Blocked) => None,
            Err(Stop::Error(diagnostic)) => {
                self.errors.push(diagnostic);
                None
            }
        };
        self.planned.insert(index, planned);
        planned
    }

    fn plan_stage(&mut self, index: usize) -> Result<StageId, Stop> {
        let stage =
            self.input.dockerfile.stage(index).expect("only stages of the file are planned");
        let opened = self.open_stage(index, stage);
        let (base, mut scope, instructions) = match opened {
            Err(Stop::Blocked) => {
                self.need_references(index, stage);
                return Err(Stop::Blocked);
            }
            opened => opened?,
        };
        let mut blocked = false;
        self.triggers(index, stage, &mut scope, &mut blocked);
        for instruction in instructions {
            let place = Place::of(instruction);
            let result = self.dispatch(index, instruction, &place, &mut scope);
            self.note(result, &mut blocked);
        }
        if blocked || !self.errors.is_empty() {
            return Err(Stop::Blocked);
        }
        let id = StageId(self.stages.len());
        let config =
            ImageConfig { rootfs: <_>::default(), history: Vec::new(), ..scope.config.clone() };
        self.stages.push(Stage {
            index,
            is_only: self.input.dockerfile.stages().len() == 1,
            name: stage.from().name.as_ref().map(|name| name.value.to_string()),
            platform: scope.platform.clone(),
            base,
            from: stage.header.original.text().into_owned(),
            span: stage.header.span,
            lines: stage.header.lines,
            steps: std::mem::take(&mut scope.steps),
            history: std::mem::take(&mut scope.history),
            config,
        });
        self.scopes.push(scope);
        Ok(id)
    }

    /// Notes an error and goes on, so that one run shows them all.
    fn note(&mut self, result: Result<(), Stop>, blocked: &mut bool) {
        match result {
            Ok(()) => {}
            Err(Stop::Blocked) => *blocked = true,
            Err(Stop::Error(diagnostic)) => self.errors.push(diagnostic),
        }
    }

    /// Carries out `FROM`: the base, the scope it gives, and the instructions that remain to be
    /// done.
    fn open_stage(
        &mut self,
        index: usize,
        stage: ast::Stage<'a, 'a>,
    ) -> Result<(Base, Scope, &'a [Instruction<'a>]), Stop> {
        let platform = self.stage_platform(stage)?;
        let escape = self.input.dockerfile.escape();
        // A named context with the name of the stage takes the place of the whole stage.
        if let Some(name) = &stage.from().name
            && let Some(base) = self.named_base(&name.value, &platform)
        {
            let config = self.base_config(&base, &platform, name.span, index)?;
            return Ok((base, Scope::new(None, config, platform, escape), &[]));
        }
        let name = self.expand_global(&stage.from().image).ok_or(Stop::Blocked)?;
        if name.is_empty() {
            let written = &stage.from().image.value;
            let problem = error(
                format!("base name ({written}) should not be blank"),
                stage.from().image.span,
            );
            return Err(problem
                .with_help("give the argument a default: `ARG NAME=value` before the first FROM")
                .into());
        }
        if let Some(parent) = self.earlier_stage(&name, index) {
            let id = self.stage(parent).ok_or(Stop::Blocked)?;
            let parent = &self.scopes[id.0];
            let platform = parent.platform.clone();
            let scope = Scope::new(Some(parent), parent.config.clone(), platform, escape);
            return Ok((Base::Stage(id), scope, stage.instructions));
        }
        let base = match self.named_base(&name, &platform) {
            Some(base) => base,
            None if name == "scratch" => Base::Scratch,
            None => {
                check_reference(&name, stage.from().image.span)?;
                Base::Image(BaseRequest { name, platform: platform.clone() })
            }
        };
        let config = self.base_config(&base, &platform, stage.from().image.span, index)?;
        Ok((base, Scope::new(None, config, platform, escape), stage.instructions))
    }

    fn stage_platform(&mut self, stage: ast::Stage) -> Result<Platform, Stop> {
        let Some(word) = &stage.from().platform else { return Ok(self.input.platform.clone()) };
        let text = self.expand_global(word).ok_or(Stop::Blocked)?;
        if text.is_empty() {
            let problem = format!("empty platform value from expression {}", word.value);
            return Err(error(problem, word.span).into());
        }
        text.parse().map_err(|problem| {
            let message = format!("failed to parse platform {text}: {problem}");
            Stop::Error(error(message, word.span))
        })
    }

    fn named_base(&self, name: &str, platform: &Platform) -> Option<Base> {
        let key = context_key(name);
        Some(match self.input.named_contexts.get(&key)? {
            NamedContext::Directory => Base::Directory(key),
            NamedContext::Image => {
                Base::Image(BaseRequest { name: key, platform: platform.clone() })
            }
        })
    }

    fn base_config(
        &mut self,
        base: &Base,
        platform: &Platform,
        span: Span,
        index: usize,
    ) -> Result<ImageConfig, Stop> {
        match base {
            Base::Image(request) => {
                let Some(image) = self.input.bases.get(request) else {
                    let runs = self.runs[index];
                    let need = self.needs.entry(request.clone()).or_insert(Need { span, runs });
                    need.runs |= runs;
                    return Err(Stop::Blocked);
                };
                let config = image.config.clone();
                self.warnings.extend(other_platform(request, &config.platform(), span));
                Ok(config)
            }
            _ => Ok(ImageConfig::scratch(platform)),
        }
    }

    /// For each stage of the file whether it, or one that begins with it, has a `RUN`.
    fn find_runs(&self) -> Vec<bool> {
        let stages = self.input.dockerfile.stages();
        let is_run =
            |instruction: &Instruction<'_>| matches!(instruction.kind, InstructionKind::Run(_));
        let own = stages.clone().map(|stage| stage.instructions.iter().any(is_run));
        let mut runs: Vec<bool> = own.collect();
        for (index, stage) in stages.enumerate().rev() {
            let base = &stage.from().image.value;
            if let Some(parent) = self.earlier_stage(base, index).filter(|_| runs[index]) {
                runs[parent] = true;
            }
        }
        runs
    }

    /// The last stage before number `index` with this name, in any case.
    fn earlier_stage(&self, name: &str, index: usize) -> Option<usize> {
        self.input.dockerfile.stages().take(index).rposition(|stage| {
            stage.from().name.as_ref().is_some_and(|known| known.value.eq_ignore_ascii_case(name))
        })
    }

    /// Asks for the images that a stage names while it still waits for its base.
    fn need_references(&mut self, index: usize, stage: ast::Stage) {
        let platform = self.input.platform.clone();
        for (name, span) in references(stage) {
            // An error will be found when the stage is planned.
            let _ = self.tree_source(&name, index, &platform, span);
        }
    }

    /// What `--from=name` means in stage number `index`.
    fn tree_source(
        &mut self,
        name: &str,
        index: usize,
        platform: &Platform,
        span: Span,
    ) -> Result<TreeSource, Stop> {
        let stages = || self.input.dockerfile.stages();
        let named = stages().rposition(|stage| {
            stage.from().name.as_ref().is_some_and(|known| known.value.eq_ignore_ascii_case(name))
        });
        let found = match name.parse::<usize>() {
            Ok(number) if number >= stages().len() => {
                return Err(error(format!("invalid stage index {number}"), span).into());
            }
            Ok(number) => Some(named.unwrap_or(number)),
            Err(_) => self.earlier_stage(name, index).or(named),
        };
        if let Some(found) = found {
            if found >= index {
                let current = self.input.dockerfile.stage(index);
                let current = current.and_then(|it| it.from().name.as_ref());
                let current = current.map_or(index.to_string(), |name| name.value.to_string());
                let message = if found == index {
                    format!("circular dependency detected on stage: {name}")
                } else {
                    format!(
                        "cannot copy from stage {name:?}, it needs to be defined before current stage {current:?}"
                    )
                };
                return Err(error(message, span).into());
            }
            return self.stage(found).map(TreeSource::Stage).ok_or(Stop::Blocked);
        }
        match self.named_base(name, platform) {
            Some(Base::Directory(key)) => Ok(TreeSource::Named(key)),
            Some(Base::Image(request)) => self.image_source(request, span),
            _ if name == "scratch" => Ok(TreeSource::Empty),
            _ => {
                check_reference(name, span)?;
                let request = BaseRequest { name: name.to_owned(), platform: platform.clone() };
                self.image_source(request, span)
            }
        }
    }

    fn image_source(&mut self, request: BaseRequest, span: Span) -> Result<TreeSource, Stop> {
        if self.input.bases.contains_key(&request) {
            return Ok(TreeSource::Image(request));
        }
        self.needs.entry(request).or_insert(Need { span, runs: false });
        Err(Stop::Blocked)
    }

    /// Carries out the `ONBUILD` triggers of the base, right after `FROM`. They go no further.
    fn triggers(&mut self, index: usize, stage: ast::Stage, scope: &mut Scope, blocked: &mut bool) {
        let escape = std::mem::replace(&mut scope.escape, '\\');
        for text in std::mem::take(&mut scope.config.config.on_build) {
            let (instruction, diagnostics) = parse_trigger(&text);
            // Its own spans are offsets in the trigger; what people can look at is the FROM.
            let at = |problem: &Diagnostic| Diagnostic {
                message: format!("trigger `ONBUILD {text}` of the base: {}", problem.message),
                span: stage.header.span,
                labels: Vec::new(),
                fix: None,
                ..problem.clone()
            };
            self.errors.extend(diagnostics.iter().filter(|d| d.is_error()).map(at));
            let Some(instruction) = instruction else { continue };
            let place = Place {
                span: stage.header.span,
                lines: stage.header.lines,
                ..Place::of(&instruction)
            };
            let result = self.dispatch(index, &instruction, &place, scope);
            let result = result.map_err(|stop| match stop {
                Stop::Error(problem) => Stop::Error(at(&problem)),
                Stop::Blocked => Stop::Blocked,
            });
            self.note(result, blocked);
        }
        scope.escape = escape;
    }

    fn arg(&mut self, arg: &ast::Arg, scope: &mut Scope) -> Result<(), Stop> {
        let mut line = "ARG".to_owned();
        for declaration in &arg.declarations {
            let name = &declaration.name.value;
            self.consumed.insert(name.to_string());
            let value = match (self.input.build_args.get(name.as_ref()), &declaration.value) {
                (Some(value), _) => Some(value.clone()),
                (None, Some(word)) => Some(scope.expand(word)?),
                (None, None) => self.globals.get(name).map(ToOwned::to_owned),
            };
            line.push(' ');
            line.push_str(name);
            if let Some(value) = &value {
                line.push_str(&format!("={value}"));
                scope.env.set(name, value.as_str());
            }
            scope.declared.push((name.to_string(), value));
        }
        scope.remember(line);
        Ok(())
    }

    fn run(
        &mut self,
        index: usize,
        run: &ast::Run,
        place: &Place,
        scope: &mut Scope,
    ) -> Result<(), Stop> {
        for (flag, device) in run.flags.texts("device").zip(run.devices()) {
            self.warnings.push(missing_device(&device, flag.span)?);
        }
        let mut mounts: Vec<RunMount> = Vec::new();
        let mut ssh = 0;
        for flag in run.mounts() {
            let mount = scope.mount(&flag)?;
            let from = self.mount_source(index, &mount, flag.text.span, scope)?;
            if mount.kind == ast::MountKind::Ssh {
                ssh += 1;
            }
            let mount = scope.complete_mount(mount, from, usize::saturating_sub(ssh, 1));
            if mount.target == "/" {
                let problem = error("invalid mount target \"/\"", flag.text.span);
                return Err(problem
                    .with_help("a mount cannot take the place of the whole root")
                    .into());
            }
            mounts.push(mount);
        }
        let proxy_env = self.proxy_env();
        Ok(scope.run(run, mounts, proxy_env, place)?)
    }

    fn mount_source(
        &mut self,
        index: usize,
        mount: &ast::Mount,
        span: Span,
        scope: &Scope,
    ) -> Result<Option<TreeSource>, Stop> {
        match (&mount.from, mount.kind) {
            (Some(name), ast::MountKind::Bind | ast::MountKind::Cache) => {
                let source = self.tree_source(name, index, &scope.platform, span)?;
                // A cache without `from` begins with nothing, too, and is the same one.
                let is_plain = mount.kind == ast::MountKind::Cache && source == TreeSource::Empty;
                Ok(Some(source).filter(|_| !is_plain))
            }
            (None, ast::MountKind::Bind) => Ok(Some(TreeSource::Context)),
            _ => Ok(None),
        }
    }

    /// The proxy arguments, in both cases as programs look for either.
    fn proxy_env(&self) -> Vec<(String, String)> {
        let args = self.input.build_args.iter();
        let args = args.filter(|(name, value)| is_proxy_arg(name) && !value.is_empty());
        let both = args.flat_map(|(name, value)| {
            [(name.to_uppercase(), value.clone()), (name.to_lowercase(), value.clone())]
        });
        both.collect()
    }

    /// Carries out one instruction of stage number `index`.
    fn dispatch(
        &mut self,
        index: usize,
        instruction: &Instruction,
        place: &Place,
        scope: &mut Scope,
    ) -> Result<(), Stop> {
        match &instruction.kind {
            InstructionKind::Arg(arg) => self.arg(arg, scope),
            InstructionKind::Run(run) => self.run(index, run, place, scope),
            InstructionKind::Add(add) => Ok(scope.add(add, place)?),
            InstructionKind::Copy(copy) => {
                let from = match copy.from() {
                    None => TreeSource::Context,
                    Some(name) => {
                        let platform = scope.platform.clone();
                        self.tree_source(&name.value, index, &platform, name.span)?
                    }
                };
                Ok(scope.copy(copy, from, place)?)
            }
            _ => {
                scope.configure(instruction)?;
                Ok(())
            }
        }
    }

    fn finish(mut self) -> Graph {
        if let Some(target) = self.stages.last_mut() {
            let labels = self.input.labels.iter().map(|(k, v)| (k.clone(), v.clone()));
            target.config.config.labels.extend(labels);
        }
        let unused: Vec<&str> = self
            .input
            .build_args
            .keys()
            .filter(|name| !self.consumed.contains(*name) && !is_predefined_arg(name))
            .map(String::as_str)
            .collect();
        if !unused.is_empty() {
            let message =
                format!("one or more build-args [{}] were not consumed", unused.join(" "));
            let warning = Diagnostic::warning(DiagnosticKind::Option, message, Span::at(0));
            let close = unused
                .iter()
                .find_map(|name| closest(name, self.consumed.iter().map(String::as_str)));
            self.warnings.push(warning.with_suggestion(close.map(str::to_owned)));
        }
        let targets = vec![StageId(self.stages.len() - 1)];
        Graph { stages: self.stages, targets, epoch: self.epoch, warnings: self.warnings }
    }
}

/// BuildKit's `InvalidBaseImagePlatform`: only when the base is there can it be known.
fn other_platform(request: &BaseRequest, pulled: &Platform, span: Span) -> Option<Diagnostic> {
    let wanted = &request.platform;
    if wanted.is_close(pulled) {
        return None;
    }
    let message = format!(
        "InvalidBaseImagePlatform: Base image {} was pulled with platform {:?}, expected {:?} for current build",
        request.name,
        pulled.to_string(),
        wanted.to_string()
    );
    Some(Diagnostic::warning(DiagnosticKind::Suspicious, message, span))
}

/// No device is there: BuildKit goes on without one that is not `required`
/// (`commands_rundevice.go`, `ParseDevice`).
fn missing_device(device: &ast::Device, span: Span) -> Result<Diagnostic, Diagnostic> {
    if device.required {
        let message = format!("required device {:?} is not there", device.name);
        return Err(error(message, span).with_help("dfbuild gives commands no devices"));
    }
    let message = format!("device {:?} is not there: the command runs without it", device.name);
    Ok(Diagnostic::warning(DiagnosticKind::Suspicious, message, span))
}

fn check_reference(name: &str, span: Span) -> Result<(), Diagnostic> {
    match name.parse::<dfbuild_image::Reference>() {
        Ok(_) => Ok(()),
        Err(problem) => {
            Err(error(format!("failed to parse stage name {name:?}: {}", problem.reason), span))
        }
    }
}
