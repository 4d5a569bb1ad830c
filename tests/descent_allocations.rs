//! Gradient descent steps do not allocate.
//!
//! A test target of its own, with one test: one counter sees every thread of the process, the other this thread.

use gdcert::descent::{Stepper, Steps, descend_in};
use gdcert::{Dims, Init, Instance, Kernel, Precision, Trained};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Constant and without a destructor: reading it does not allocate.
    static HERE: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        HERE.set(HERE.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn steps_do_not_allocate() {
    // One small instance on this thread, one large enough for rayon.
    let small = Dims {
        N: 4,
        n: 8,
        D: 32,
        d: 16,
        H: 4,
        p: 1,
    };
    let large = Dims { N: 40, ..small };
    for (dims, allowed) in [(small, 0), (large, 100)] {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            let instance = Instance::random(dims, kernel, Init::Lecun, 0).unwrap();
            let mut stepper = Stepper::new(&instance, Trained::QKV);
            let mut advance = || {
                let loss = stepper.evaluate();
                stepper.step(1e-3);
                loss + stepper.moved()[0]
                    + stepper.grad_norms()[0]
                    + stepper.block_norms().map(|norms| norms[0]).sum::<f64>()
            };
            advance(); // rayon starts its threads
            // The small one runs here; other threads (the test harness has some) are not its business.
            let count = || match allowed {
                0 => HERE.get(),
                _ => ALLOCATIONS.load(Ordering::Relaxed),
            };
            let before = count();
            let sum: f64 = (0..1000).map(|_| advance()).sum();
            let count = count() - before;
            assert!(sum.is_finite());
            // Rayon's queues allocate a block now and then; a step of our own that allocated would
            // show at least once in each of the 1000 steps.
            assert!(count <= allowed, "{kernel}: {count} allocations");
        }
    }

    // A run in double-double allocates at its start, and where it records sigma_min(B_t).
    let dims = Dims {
        N: 1,
        d: 4,
        ..small
    };
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        let instance = Instance::random(dims, kernel, Init::Lecun, 0).unwrap();
        let mut before = 0;
        let mut observe = |point: &gdcert::descent::Point| {
            let now = HERE.get();
            assert!(
                now == before || point.sigma_min_B.is_some(),
                "t = {}",
                point.t
            );
            before = now;
            ControlFlow::Continue(())
        };
        let steps = Steps::Exactly(200);
        let precision = Precision::DoubleDouble;
        descend_in(
            precision,
            &instance,
            Trained::QKV,
            1e-3,
            steps,
            &mut observe,
        )
        .unwrap();
    }
}
