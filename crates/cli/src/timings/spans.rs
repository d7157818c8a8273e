use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::Timings;

/// Notes how long the spans of the library took. They are neither shared nor entered more than once.
struct Listener {
    timings: &'static Timings,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

struct Open {
    name: String,
    begin: f64,
    bytes: Option<u64>,
}

/// Has the spans of all threads noted, from now to the end of the process.
pub(super) fn listen(timings: &'static Timings) {
    let listener = Listener { timings, next: AtomicU64::new(1), open: Mutex::default() };
    // Somebody else listens already: then there are no spans in the report.
    let _ = tracing::subscriber::set_global_default(listener);
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("dfbuild")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = Open {
            name: span.metadata().name().to_owned(),
            begin: self.timings.now(),
            bytes: None,
        };
        span.record(&mut open);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(number, open);
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.get_mut(&span.into_u64()) {
            values.record(open);
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn try_close(&self, span: Id) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Open { name, begin, bytes }) = open.remove(&span.into_u64()) {
            drop(open);
            self.timings.worked(name, begin, bytes);
        }
        true
    }
}

impl Visit for Open {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "bytes" {
            self.bytes = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "what" {
            self.name = format!("{} {value}", self.name);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
