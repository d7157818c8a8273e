use std::collections::VecDeque;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::cpu::Helper;

/// How many pieces of work are under way on so many threads: done, or being done, or waiting.
pub(crate) fn under_way(threads: usize) -> usize {
    2 * threads + 1
}

/// Does `count` pieces of work on `threads` threads and hands the results on in order. No more than
/// [`under_way`] are. Each thread has what `tool` gives it, which this one makes: what it allocates can serve
/// others when the threads have ended.
pub(crate) fn in_order<L: Send, T: Send, E: Send>(
    count: usize,
    threads: usize,
    tool: impl Fn() -> L,
    work: impl Fn(&mut L, usize) -> Result<T, E> + Sync,
    mut sink: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    if threads <= 1 || count <= 1 {
        let mut tool = tool();
        return (0..count).try_for_each(|at| sink(at, work(&mut tool, at)?));
    }
    let threads = threads.min(count);
    let helper = Helper::new();
    thread::scope(|scope| {
        let (jobs, queue) = bounded::<(usize, Sender<Result<T, E>>)>(under_way(threads));
        for _ in 0..threads {
            let (queue, mut tool, work) = (queue.clone(), tool(), &work);
            let helper = helper.clone();
            let run = move || {
                for (at, reply) in queue {
                    // Nobody listens any more if something failed.
                    let _ = reply.send(work(&mut tool, at));
                }
            };
            scope.spawn(move || helper.work(run));
        }
        let mut pending: VecDeque<Receiver<Result<T, E>>> = VecDeque::new();
        let mut done = 0;
        let mut next = |pending: &mut VecDeque<Receiver<Result<T, E>>>| {
            let Some(result) = pending.pop_front() else { return Ok(()) };
            done += 1;
            sink(done - 1, result.recv().expect("each job is answered")?)
        };
        for at in 0..count {
            let (reply, result) = bounded(1);
            jobs.send((at, reply)).expect("the threads listen as long as there are jobs");
            pending.push_back(result);
            if pending.len() >= under_way(threads) {
                next(&mut pending)?;
            }
        }
        while !pending.is_empty() {
            next(&mut pending)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_errors_end_it() {
        for threads in [1, 2, 5] {
            let mut seen = Vec::new();
            let all = in_order(
                100,
                threads,
                || 0,
                |_, at| Ok::<_, usize>(at * 2),
                |at, result| {
                    seen.push((at, result));
                    Ok(())
                },
            );
            assert_eq!(all, Ok(()));
            assert!(seen.into_iter().eq((0..100).map(|at| (at, 2 * at))));
            let failed = in_order(
                100,
                threads,
                || (),
                |(), at| if at == 7 { Err(at) } else { Ok(at) },
                |_, _| Ok(()),
            );
            assert_eq!(failed, Err(7));
            let refused = in_order(
                100,
                threads,
                || (),
                |(), at| Ok(at),
                |at, _| if at == 3 { Err(at) } else { Ok(()) },
            );
            assert_eq!(refused, Err(3));
        }
    }
}
