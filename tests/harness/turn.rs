//! Whose turn it is. Tests that measure time, or fill this computer's cores, run alone; those that mostly wait for servers and
//! intervals run beside each other, as many as there are threads.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Holds the place of one test. Dropping it lets others go on.
#[derive(Debug)]
pub struct Turn {
    alone: bool,
}

/// Who runs now.
struct Running {
    alone: bool,
    beside: usize,
}

static RUNNING: Mutex<Running> = Mutex::new(Running { alone: false, beside: 0 });
static CHANGED: Condvar = Condvar::new();

impl Turn {
    /// Waits until nobody else runs, and keeps all others waiting.
    pub fn alone() -> Self {
        let mut running = wait(|running| running.alone || running.beside > 0);
        running.alone = true;
        Self { alone: true }
    }

    /// Waits until nobody runs who wants to be alone.
    pub fn beside_others() -> Self {
        let mut running = wait(|running| running.alone);
        running.beside += 1;
        Self { alone: false }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut running = lock();
        if self.alone {
            running.alone = false;
        } else {
            running.beside -= 1;
        }
        CHANGED.notify_all();
    }
}

fn wait(as_long: impl Fn(&Running) -> bool) -> MutexGuard<'static, Running> {
    CHANGED.wait_while(lock(), |running| as_long(running)).unwrap_or_else(PoisonError::into_inner)
}

/// A test that panicked has dropped its turn all the same.
fn lock() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
        time::Duration,
    };

    #[test]
    fn some_run_beside_each_other_and_some_alone() {
        let (beside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..8 {
                let (beside, most) = (&beside, &most);
                scope.spawn(move || {
                    if number % 4 == 0 {
                        let _turn = Turn::alone();
                        assert_eq!(beside.load(Ordering::SeqCst), 0, "somebody runs beside one that is alone");
                        thread::sleep(Duration::from_millis(5));
                        assert_eq!(beside.load(Ordering::SeqCst), 0);
                        return;
                    }
                    let _turn = Turn::beside_others();
                    most.fetch_max(beside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(20));
                    beside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) > 1, "nobody ran beside another");
    }
}
