//! Names of pipelines and outputs are the keys of positions: what is said when one is gone.

mod common;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Memory, append, cri, eventually, on_both};
use ringtail_engine::{Engine, Mode, Pipeline};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const STOP: Duration = Duration::from_secs(5);

/// The names that warnings of this thread are about.
#[derive(Clone, Default)]
struct Warned(Arc<Mutex<Vec<String>>>);

impl Warned {
    /// What `call` returns, and which names it warned of.
    fn by<T>(call: impl FnOnce() -> T) -> (T, Vec<String>) {
        let warned = Warned::default();
        let given = tracing::subscriber::with_default(warned.clone(), call);
        let names = warned.0.lock().unwrap().clone();
        (given, names)
    }
}

impl Visit for Warned {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if ["pipeline", "output"].contains(&field.name()) {
            self.0.lock().unwrap().push(format!("{} {value:?}", field.name()));
        }
    }
}

impl Subscriber for Warned {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Promise 2. Once per name, at a start and at a reload; and the old name goes on where it stood when it comes back.
#[test]
fn a_name_with_positions_that_is_gone_is_told_once_and_may_come_back() {
    on_both(|setup| {
        let (first, second) = (Memory::new(), Memory::new());
        let named = |name, output, memory| -> Vec<Pipeline> {
            vec![setup.pipeline(name, &["*.log"], &[(output, memory)])]
        };
        let start = |pipelines| Warned::by(|| Engine::start(setup.config(Mode::Follow), pipelines).unwrap());
        append(&setup.path("0.log"), &cri("stdout F", "one"));
        let (engine, warned) = start(named("old", "out", &first));
        assert!(warned.is_empty(), "nothing has positions yet: {warned:?}");
        eventually(|| first.len() == 1, "the line");
        engine.stop(STOP);

        let (mut engine, warned) = start(named("new", "out", &second));
        assert_eq!(warned, ["pipeline old"]);
        eventually(|| second.len() == 1, "the line again");
        let mut apply = |pipelines| Warned::by(|| engine.apply(pipelines).unwrap()).1;
        assert!(apply(named("new", "out", &second)).is_empty(), "it was told");
        assert_eq!(apply(named("new", "other", &second)), ["output out"]);
        assert!(apply(named("new", "other", &second)).is_empty(), "it was told");
        engine.stop(STOP);

        append(&setup.path("0.log"), &cri("stdout F", "two"));
        let (engine, warned) = start(named("old", "out", &first));
        assert_eq!(warned, ["pipeline new"]);
        eventually(|| first.len() == 2, "what is new");
        assert_eq!(first.messages(), ["one", "two"]);
        engine.stop(STOP);
    });
}
