use crate::graph::{Base, Graph, RunMount, Stage, StageId, StepKind, TreeSource};

impl Graph {
    /// One graph for the targets of several: what one Dockerfile comes to on several platforms.
    /// Stages that are the same in all respects, such as those that run on the build platform, are
    /// in it once, as BuildKit's solver merges equal vertices.
    ///
    /// # Panics
    /// When there is no graph at all.
    #[must_use]
    pub fn join(graphs: Vec<Self>) -> Self {
        let mut graphs = graphs.into_iter();
        let mut joined = graphs.next().expect("there is a graph to join");
        for graph in graphs {
            joined.add(graph);
        }
        joined
    }

    fn add(&mut self, other: Self) {
        let mut places: Vec<StageId> = Vec::with_capacity(other.stages.len());
        for mut stage in other.stages {
            stage.renumber(&|id| places[id.0]);
            let known = self.stages.iter().position(|known| *known == stage);
            places.push(StageId(known.unwrap_or_else(|| {
                self.stages.push(stage);
                self.stages.len() - 1
            })));
        }
        self.targets.extend(other.targets.into_iter().map(|target| places[target.0]));
        for warning in other.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

impl Stage {
    /// Gives the stages that it reads from other numbers.
    fn renumber(&mut self, place: &dyn Fn(StageId) -> StageId) {
        if let Base::Stage(id) = &mut self.base {
            *id = place(*id);
        }
        let sources = self.steps.iter_mut().flat_map(|step| match &mut step.kind {
            StepKind::Copy(copy) => vec![&mut copy.from],
            StepKind::Run(run) => run.mounts.iter_mut().filter_map(source).collect(),
            StepKind::Workdir(_) => Vec::new(),
        });
        for source in sources {
            if let TreeSource::Stage(id) = source {
                *id = place(*id);
            }
        }
    }
}

fn source(mount: &mut RunMount) -> Option<&mut TreeSource> {
    mount.from.as_mut()
}
