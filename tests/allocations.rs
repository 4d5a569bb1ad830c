//! Steps do not allocate: neither gradient descent's nor the classifier's.
//!
//! A test target of its own, with one test: one counter sees every thread of the process, the other this thread.

use gdcert::descent::{Stepper, Steps, descend_with};
use gdcert::{Dims, Init, Instance, Kernel, Precision, Trained};
use gdcert_train::classifier::{Architecture, Batch, Classifier, Dropout, Parameters};
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
        descend_with(
            precision,
            &instance,
            Trained::QKV,
            1e-3,
            steps,
            &mut observe,
        )
        .unwrap();
    }
    classifier_steps_do_not_allocate();
}

/// With as many heads as are cut in parts, and with more; lengths that vary.
fn classifier_steps_do_not_allocate() {
    for (kernel, samples) in [(Kernel::Softmax, 2), (Kernel::Gaussian, 8)] {
        let architecture = Architecture {
            kernel,
            positions: 600,
            ..Architecture::default()
        };
        let parameters = Parameters::<f32>::random(&architecture, 0);
        let mut gradient = Parameters::zeros(&architecture);
        let mut classifier = Classifier::new(&architecture).unwrap();
        let labels = vec![1; samples];
        let mut tokens = vec![1; 600 * samples];
        let mut step = |seed: usize| {
            tokens[seed % 50..][..seed].fill(0);
            let batch = Batch {
                tokens: &tokens,
                labels: &labels,
                length: 600,
            };
            let dropout = Dropout {
                rate: 0.1,
                seed: seed as u64,
            };
            classifier
                .differentiate(&parameters, &batch, dropout, &mut gradient)
                .unwrap();
            classifier.evaluate(&parameters, &batch).unwrap();
        };
        // Every thread has come by when a few steps are done.
        (0..5).for_each(&mut step);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (5..20).for_each(&mut step);
        let count = ALLOCATIONS.load(Ordering::Relaxed) - before;
        // Rayon's queues, see above: a buffer that grew would show at least once a step.
        assert!(count < 15, "{kernel}: {count} allocations");
    }
}
