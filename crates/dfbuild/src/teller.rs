use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use crate::event::{Event, Observer};

/// Takes what happens deep inside a build, where no observer is at hand. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Teller(Arc<Mutex<Option<mpsc::Sender<Event>>>>);

impl Teller {
    /// Passes on to `tell` whatever is told while `work` is done.
    pub(crate) fn heard<T>(&self, tell: &(dyn Fn(&Event) + Sync), work: impl FnOnce() -> T) -> T {
        let (sender, events) = mpsc::channel();
        self.set(Some(sender));
        thread::scope(|scope| {
            scope.spawn(move || events.iter().for_each(|event| tell(&event)));
            // The thread ends with the sender, also when the work panics.
            let _hearing = Hearing(self);
            work()
        })
    }

    fn set(&self, sender: Option<mpsc::Sender<Event>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sender;
    }
}

impl Observer for Teller {
    fn event(&self, event: &Event) {
        if let Some(sender) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // Nobody hears it any more.
            let _ = sender.send(event.clone());
        }
    }
}

struct Hearing<'a>(&'a Teller);

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_meanwhile_is_heard() {
        let (teller, heard) = (Teller::default(), Mutex::new(Vec::new()));
        let notice = |text: &str| teller.event(&Event::Notice { text: text.to_owned() });
        notice("before");
        teller.heard(&|event| heard.lock().unwrap().push(format!("{event:?}")), || notice("now"));
        notice("after");
        let heard = heard.into_inner().unwrap();
        assert!(heard.len() == 1 && heard[0].contains("now"), "{heard:?}");
    }
}
