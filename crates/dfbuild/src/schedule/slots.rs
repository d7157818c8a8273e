use std::sync::{Condvar, Mutex, PoisonError};

/// A number of places for steps to run at the same time. More than there are processors: a step
/// mostly waits, and stages may wait for each other.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count.max(1)), freed: Condvar::new() }
    }

    /// Takes a place, and calls `waits` if none is free at once.
    pub(crate) fn take(&self, waits: impl FnOnce()) -> Slot<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if *free == 0 {
            drop(free);
            waits();
            free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        }
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn whoever_has_to_wait_hears_it_before() {
        let slots = Slots::new(1);
        let first = slots.take(|| panic!("there is one"));
        thread::scope(|scope| {
            let (sender, waits) = mpsc::channel();
            let slots = &slots;
            let second = scope.spawn(move || drop(slots.take(|| sender.send(()).unwrap())));
            waits.recv().unwrap();
            drop(first);
            second.join().unwrap();
        });
    }
}
