//! Names under which the checkpoint keeps positions, and which of them nothing is configured under.
//!
//! A pipeline or an output that was renamed starts anew under its new name. Its rows stay: it may come back.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Pipeline;
use crate::row::Key;

/// The names that have positions, and those that were told.
#[derive(Debug, Default)]
pub(crate) struct KeptNames {
    /// Pipeline and output.
    kept: BTreeSet<(Arc<str>, Arc<str>)>,
    told: BTreeSet<Missing>,
}

/// A name that has positions and is not configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Missing {
    Pipeline(Arc<str>),
    /// Of a pipeline that is configured.
    Output(Arc<str>),
}

impl KeptNames {
    /// Those of a checkpoint's rows.
    pub(crate) fn of<'a>(rows: impl IntoIterator<Item = &'a Key>) -> Self {
        let kept = rows.into_iter().map(|key| (key.pipeline.clone(), key.output.clone())).collect();
        KeptNames { kept, told: BTreeSet::new() }
    }

    /// `pipelines` run from now on, and have positions: the names that are missing and were not before.
    pub(crate) fn configure(&mut self, pipelines: &[Pipeline]) -> Vec<Missing> {
        let names: BTreeSet<&str> = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
        let outputs = pipelines.iter().flat_map(|pipeline| &pipeline.outputs);
        let outputs: BTreeSet<&str> = outputs.map(|output| output.name.as_str()).collect();
        let missing = |(pipeline, output): &(Arc<str>, Arc<str>)| match names.contains(&**pipeline) {
            false => Some(Missing::Pipeline(pipeline.clone())),
            true => (!outputs.contains(&**output)).then(|| Missing::Output(output.clone())),
        };
        let missing: BTreeSet<Missing> = self.kept.iter().filter_map(missing).collect();
        let new = missing.difference(&self.told).cloned().collect();
        self.told = missing;
        for pipeline in pipelines {
            let outputs = pipeline.outputs.iter().map(|output| output.name.as_str());
            self.kept.extend(outputs.map(|output| (pipeline.name.as_str().into(), output.into())));
        }
        new
    }
}

impl Missing {
    /// Says so in the log, and what it means.
    #[cold]
    pub(crate) fn tell(&self) {
        match self {
            Missing::Pipeline(name) => tracing::warn!(
                pipeline = %name,
                "no pipeline has this name any more; its positions are kept. If it was renamed, it starts anew as its \
                 `start` says: name it as before to go on where it stood"
            ),
            Missing::Output(name) => tracing::warn!(
                output = %name,
                "no pipeline has an output of this name any more; its positions are kept. If it was renamed, the files \
                 present are read for it again from their beginning: name it as before to go on where it stood"
            ),
        }
    }
}
