//! Enclosing the exact orbit: the rules of fixed-point balls against 1,000-bit numbers, whole steps, the distance to the exact
//! orbit against more precision and against perturbed starts, Lemma 1's g, and Theorem 6 against long runs.

#![allow(non_snake_case)]

use dashu_float::{FBig, round::mode::HalfEven};
use gdcert::bounds::{Curvature, Enclosure};
use gdcert::certificate::Claimed;
use gdcert::descent::Stepper;
use gdcert::model;
use gdcert::numbers::{Fixed, Scalar};
use gdcert::orbit::{self, Fate, Orbit, Settings};
use gdcert::spectrum::Reading;
use gdcert::{Dims, Init, Instance, Kernel, Trained, Weights, deciding_reading};
use nalgebra::DMatrix;
use std::cell::Cell;
use std::ops::ControlFlow;

type Big = FBig<HalfEven, 2>;

thread_local! {
    /// Bits of the numbers that all else is held against: enough for the exact product of two numbers of 8 words.
    static BITS: Cell<usize> = const { Cell::new(1200) };
}

fn big(x: f64) -> Big {
    let bits = BITS.get();
    Big::try_from(x).unwrap().with_precision(bits).value()
}

/// The midpoint, exactly: f64 parts taken off until nothing is left.
fn exact<const L: usize>(x: Fixed<L>) -> Big {
    let (mut rest, _) = x.split();
    let mut sum = big(0.0);
    for _ in 0..4 * L {
        let (near, _) = rest.near();
        if near == 0.0 {
            break;
        }
        sum += big(near);
        rest -= Fixed::from_f64(near);
    }
    sum
}

fn radius<const L: usize>(x: Fixed<L>) -> Big {
    let unit = (0..Fixed::<L>::BITS).fold(big(1.0), |v, _| v * big(0.5));
    big(x.split().1) * unit
}

fn absolute(x: Big) -> Big {
    if x < big(0.0) { -x } else { x }
}

/// Numbers that are the same on every machine.
struct Draw(u64);

impl Draw {
    fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A full-length number of size 2^lowest to 2^highest with a radius, and a point of its ball.
    fn ball<const L: usize>(&mut self, [lowest, highest]: [f64; 2]) -> (Fixed<L>, Big) {
        let size = (lowest + (highest - lowest) * self.uniform()).exp2();
        let sign = if self.uniform() < 0.5 { -1.0 } else { 1.0 };
        let mut x = Fixed::from_f64(0.0);
        for word in 0..L as i32 {
            x += Fixed::from_f64(sign * size * self.uniform() * 2f64.powi(-50 * word));
        }
        let (mid, _) = x.split();
        // A difference of equal numbers adds a radius and nothing else; small, or large, or none.
        let error = match (self.uniform() * 3.0) as u32 {
            0 => return (mid, exact(mid)),
            1 => Fixed::from_f64(self.uniform()) * mid,
            _ => (Fixed::from_f64(self.uniform()) / Fixed::from_f64(3.0)).exp() * mid,
        };
        // Nothing but a radius: the midpoints cancel.
        #[allow(clippy::eq_op)]
        let wide = mid + (error - error);
        let share = 2.0 * self.uniform() - 1.0;
        (wide, exact(wide) + big(share) * radius(wide))
    }
}

/// Whether the ball holds the value; and at what share of the radius.
fn holds<const L: usize>(what: &str, x: Fixed<L>, value: &Big) -> f64 {
    let (_, r) = x.split();
    assert!(r.is_finite(), "{what}: nothing is known");
    let off = absolute(exact(x) - value);
    let r = radius(x);
    assert!(off <= r, "{what}: off by {off}, radius {r}");
    if r == big(0.0) {
        0.0
    } else {
        (off / r).to_f64().value()
    }
}

fn rules<const L: usize>(draws: usize) {
    let mut draw = Draw(L as u64);
    let mut worst: f64 = 0.0;
    for _ in 0..draws {
        let (a, x) = draw.ball::<L>([-30.0, 20.0]);
        let (b, y) = draw.ball::<L>([-30.0, 20.0]);
        for (what, found, value) in [
            ("sum", a + b, x.clone() + &y),
            ("difference", a - b, x.clone() - &y),
            ("product", a * b, x.clone() * &y),
            ("quotient", a / b, x.clone() / &y),
            ("negative", -a, -x.clone()),
        ] {
            worst = worst.max(holds(what, found, &value));
        }
        let (a, x) = match x < big(0.0) {
            true => (-a, -x),
            false => (a, x),
        };
        worst = worst.max(holds("root", a.sqrt(), &x.sqrt()));
        let (a, x) = draw.ball::<L>([-30.0, 5.3]);
        worst = worst.max(holds("exponential", a.exp(), &x.exp()));
        // Where f64 sees the number, too.
        let (near, error) = a.near();
        assert!(absolute(x - big(near)) <= big(error));
    }
    assert!(worst > 0.3 && worst <= 1.0, "{worst}");
}

/// Lemma 5.
#[test]
fn every_operation_holds_the_exact_result() {
    rules::<3>(150);
    rules::<4>(150);
    rules::<5>(100);
    rules::<8>(60);
    // Enough for products of 16 words.
    BITS.set(2200);
    rules::<12>(20);
    rules::<16>(10);
}

#[test]
fn conversions_are_exact_or_say_by_how_much_not() {
    type F = Fixed<3>;
    let smallest = f64::from_bits(1);
    for x in [
        0.0,
        1.0,
        -1.0,
        0.1,
        -0.1,
        1e-30,
        -1e-39,
        9e18,
        -9e18,
        3.5e-60,
        smallest,
        -smallest,
        f64::MIN_POSITIVE,
    ] {
        holds("conversion", F::from_f64(x), &big(x));
    }
    assert_eq!(F::from_f64(0.1).split().1, 0.0);
    assert_eq!(F::from_f64(-0.1).value(), -0.1);
    assert!(F::from_f64(1e-38).split().1 > 0.0);
}

/// 64 bits before the point: beyond them nothing is known, and nothing wraps.
#[test]
fn what_does_not_fit_is_unknown() {
    type F = Fixed<4>;
    let unknown = |x: F| {
        let (_, radius) = x.split();
        let (_, error) = x.near();
        radius == f64::INFINITY && error == f64::INFINITY
    };
    let large = F::from_f64(9e18);
    for x in [
        F::from_f64(1e19),
        F::from_f64(-1e19),
        F::from_f64(f64::NAN),
        F::from_f64(f64::INFINITY),
        large + large,
        -large - large,
        large * F::from_f64(2.0),
        -large * F::from_f64(2.0),
        large * large,
        F::from_f64(44.0).exp(),
        F::from_f64(1e10).exp(),
        F::from_f64(1.0) / F::from_f64(0.0),
        F::from_f64(1.0) / F::from_f64(1e-30),
        F::from_f64(-1.0).sqrt(),
    ] {
        assert!(unknown(x), "{x:?}");
        for y in [
            x + large,
            large - x,
            x * F::from_f64(0.0),
            F::from_f64(0.0) * x,
            x / large,
            large / x,
            x.exp(),
            x.sqrt(),
            -x,
        ] {
            assert!(unknown(y), "{y:?}");
        }
    }
    for x in [-1e3, -1e18] {
        let tiny = F::from_f64(x).exp();
        assert!(tiny.near().0.abs() < 1e-50 && tiny.near().1 < 1e-50);
    }
    assert_eq!(F::from_f64(0.0).sqrt(), F::from_f64(0.0));
    assert_eq!(F::from_f64(0.0).exp().near().0, 1.0);
}

const SMALL: Dims = Dims {
    N: 2,
    n: 3,
    D: 4,
    d: 2,
    H: 2,
    p: 2,
};

fn instance(dims: Dims, kernel: Kernel, seed: u64) -> Instance {
    Instance::random(dims, kernel, Init::Lecun, seed).unwrap()
}

/// 1,000-bit numbers as a [`Scalar`], kept in a list.
#[derive(Clone, Copy, Debug)]
struct Exact(usize);

thread_local!(static STORE: std::cell::RefCell<Vec<Big>> = const { std::cell::RefCell::new(Vec::new()) });

impl Exact {
    fn new(x: Big) -> Self {
        STORE.with_borrow_mut(|store| {
            store.push(x);
            Exact(store.len() - 1)
        })
    }
    fn get(self) -> Big {
        STORE.with_borrow(|store| store[self.0].clone())
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl std::ops::$trait for Exact {
            type Output = Self;
            fn $method(self, b: Self) -> Self {
                Exact::new(std::ops::$trait::$method(self.get(), b.get()))
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);
impl std::ops::Neg for Exact {
    type Output = Self;
    fn neg(self) -> Self {
        Exact::new(-self.get())
    }
}
impl std::ops::AddAssign for Exact {
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}
impl std::ops::SubAssign for Exact {
    fn sub_assign(&mut self, b: Self) {
        *self = *self - b;
    }
}
impl PartialEq for Exact {
    fn eq(&self, b: &Self) -> bool {
        self.get() == b.get()
    }
}
impl Scalar for Exact {
    fn from_f64(x: f64) -> Self {
        Exact::new(big(x))
    }
    fn exp(self) -> Self {
        Exact::new(self.get().exp())
    }
    fn sqrt(self) -> Self {
        Exact::new(self.get().sqrt())
    }
    fn value(self) -> f64 {
        self.get().to_f64().value()
    }
}

/// Residual and gradient in balls hold those of 1,000-bit arithmetic, and are not much wider than they need be.
#[test]
fn a_whole_step_holds_the_exact_one() {
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        let instance = instance(SMALL, kernel, 1);
        let W = instance.W();
        let exactly = model::gradient(&instance, &W.map(Exact::from_f64));
        let balls = model::gradient(&instance, &W.map(Fixed::<5>::from_f64));
        for (a, b) in [
            (&exactly.Q, &balls.Q),
            (&exactly.K, &balls.K),
            (&exactly.V, &balls.V),
        ] {
            for (a, b) in a
                .iter()
                .flat_map(|w| w.iter())
                .zip(b.iter().flat_map(|w| w.iter()))
            {
                holds("gradient", *b, &a.get());
                assert!(b.near().1 < b.near().0.abs() * 1e-14 + 1e-60);
                assert!(b.split().1 < 2f64.powi(24), "{}", b.split().1);
            }
        }
        STORE.with_borrow_mut(Vec::clear);
    }
}

/// Exact gradient descent in 1,000-bit numbers: f_t for t = 0 to `steps`, and the weights at the end.
fn descend(
    instance: &Instance,
    trained: Trained,
    eta: f64,
    steps: usize,
) -> (Vec<Big>, Weights<f64>) {
    let mut weights: Weights<Exact> = instance.W().map(Exact::from_f64);
    let mut losses = Vec::new();
    for t in 0..=steps {
        let r = model::residual(instance, &weights);
        let square = r.iter().fold(big(0.0), |sum, r| sum + r.get() * r.get());
        losses.push(square * big(0.5));
        if t < steps {
            let gradient = model::gradient(instance, &weights);
            let eta = Exact::from_f64(eta);
            let flags = trained.flags();
            let pairs = [
                (&mut weights.Q, &gradient.Q),
                (&mut weights.K, &gradient.K),
                (&mut weights.V, &gradient.V),
            ];
            for ((W, g), _) in pairs.into_iter().zip(flags).filter(|(_, on)| *on) {
                for (W, g) in W.iter_mut().zip(g) {
                    W.zip_apply(g, |w, g| *w -= eta * g);
                }
            }
        }
        // Only the weights are kept.
        let kept: Vec<Big> = [&weights.Q, &weights.K, &weights.V, &weights.O]
            .into_iter()
            .flat_map(|b| b.iter().flat_map(|w| w.iter().map(|x| x.get())))
            .collect();
        STORE.with_borrow_mut(Vec::clear);
        let mut kept = kept.into_iter();
        for block in [
            &mut weights.Q,
            &mut weights.K,
            &mut weights.V,
            &mut weights.O,
        ] {
            for w in block.iter_mut().flat_map(|w| w.iter_mut()) {
                *w = Exact::new(kept.next().unwrap());
            }
        }
    }
    (losses, weights.map(Scalar::value))
}

fn step(instance: &Instance, trained: Trained) -> f64 {
    0.5 / Enclosure::new(instance, trained)
        .jacobian_norm_upper()
        .powi(2)
}

fn enclose(instance: &Instance, trained: Trained, limit: usize) -> Orbit {
    let enclosure = Enclosure::new(instance, trained);
    let eta = step(instance, trained);
    let deciding = deciding_reading(trained);
    let others = Reading::ALL.into_iter().filter(|r| *r != deciding);
    let claims: Vec<Claimed> = std::iter::once(deciding)
        .chain(others)
        .filter(|r| r.missing_hypothesis(instance.dims(), trained).is_none())
        .map(|r| Claimed::reading(r, enclosure.beta(r)))
        .filter(|claimed| claimed.beta.lo() > 0.0)
        .collect();
    orbit::enclose(instance, trained, eta, &claims, limit, &Settings::default()).unwrap()
}

/// Theorems 2 and 5: the losses of 500-bit gradient descent lie in their enclosures, the fates agree with it beyond the
/// orbit, and a tail's centre is as near as it says. GDCERT_ORBITS says how many seeds are tried with each kernel.
#[test]
fn the_exact_orbit_lies_in_its_enclosure() {
    let dims = Dims {
        N: 1,
        n: 3,
        D: 4,
        d: 2,
        H: 2,
        p: 1,
    };
    BITS.set(500);
    let wanted = std::env::var("GDCERT_ORBITS").ok();
    let seeds = wanted.map_or(3, |count| count.parse().unwrap());
    let mut certified = 0;
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        for seed in 0..seeds {
            let instance = instance(dims, kernel, seed);
            let trained = Trained::QKV;
            let orbit = enclose(&instance, trained, 400);
            let further = orbit.steps + 40;
            let eta = step(&instance, trained);
            let (losses, _) = descend(&instance, trained, eta, further);
            for (t, ([low, high], loss)) in orbit.losses.iter().zip(&losses).enumerate() {
                assert!(
                    big(*low) <= *loss && *loss <= big(*high),
                    "t = {t}: {loss} is not in [{low}, {high}]"
                );
                assert!(high - low <= 1e-6 * high);
            }
            let enclosure = Enclosure::new(&instance, trained);
            for (reading, fate) in &orbit.fates {
                let beta = enclosure.beta(reading.parse().unwrap());
                let bound = |t: usize, beta: f64| {
                    let factor = big(1.0) - big(eta) * big(beta);
                    (0..t).fold(losses[0].clone(), |f, _| f * &factor)
                };
                let held = |t: usize| losses[t] <= bound(t, beta.hi());
                match *fate {
                    Fate::Certified { t } => {
                        certified += 1;
                        assert!((0..=further).all(held), "{reading}");
                        let tail = orbit.tail(reading).unwrap();
                        assert_eq!(tail.t, t);
                        let Some(centre) = &tail.weights else {
                            continue;
                        };
                        let (_, there) = descend(&instance, trained, eta, t);
                        let blocks = [&there.Q, &there.K, &there.V]
                            .into_iter()
                            .zip(trained.flags());
                        let there = blocks.filter(|(_, on)| *on).flat_map(|(W, _)| W);
                        let there =
                            there.flat_map(|W| W.transpose().iter().copied().collect::<Vec<_>>());
                        let squares = centre.iter().zip(there).map(|(a, b)| (a - b).powi(2));
                        let distance = squares.sum::<f64>().sqrt();
                        assert!(
                            distance <= tail.distance,
                            "{distance:e} {:e}",
                            tail.distance
                        );
                    }
                    Fate::Proven { to } => assert!((0..=to).all(held)),
                    Fate::Refuted(found) => {
                        assert!(losses[found.t] > bound(found.t, found.beta));
                        assert!(found.beta <= beta.hi());
                        assert!(losses[found.t] >= big(found.loss_lower));
                        assert!(bound(found.t, found.beta) <= big(found.bound_upper));
                        assert!(!found.first || (0..found.t).all(held));
                    }
                }
            }
        }
    }
    println!("{} instances, {certified} readings certified", 2 * seeds);
    assert!(certified >= 2 * seeds, "{certified}");
}

/// The run in f64 is as near the exact orbit as `run_distance` says; and a start moved by 10^-9 stays within the growth of errors.
#[test]
fn distances_hold() {
    let trained = Trained::QKV;
    let dims = Dims {
        N: 1,
        n: 3,
        D: 4,
        d: 2,
        H: 2,
        p: 1,
    };
    for (kernel, seed) in [(Kernel::Softmax, 4), (Kernel::Gaussian, 5)] {
        let start = instance(dims, kernel, seed);
        let eta = step(&start, trained);
        let orbit = enclose(&start, trained, 300);
        let (_, exactly) = descend(&start, trained, eta, orbit.steps);
        let run = |from: &Instance| {
            let mut stepper = Stepper::new(from, trained);
            for _ in 0..orbit.steps {
                stepper.evaluate();
                stepper.step(eta);
            }
            stepper.weights()
        };
        let near = run(&start);
        // The 1,000-bit weights are rounded to f64 here.
        let rounding = 1e-15;
        assert!(distance(&near, &exactly) <= orbit.run_distance + rounding);
        assert!(orbit.run_distance < 1e-12 && orbit.distance < 1e-12);
        let other = point(start.W(), 1e-9, &mut Draw(seed));
        let moved = start.clone().with_weights(other.clone()).unwrap();
        let grown = distance(&run(&moved), &near) / distance(&other, start.W());
        assert!(
            grown.log2() <= orbit.log2_growth + 1e-3,
            "{grown} {}",
            orbit.log2_growth
        );
    }
}

/// What an orbit lacked is said: a multiple of the run's work, or bits. A second's work is always allowed.
#[test]
fn where_an_enclosure_stops_it_says_what_it_lacked() {
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 1,
        p: 1,
    };
    // T = 4168 with 832 bits.
    let instance = instance(dims, Kernel::Softmax, 4);
    let trained = Trained::QKV;
    let claims = [Claimed::reading(
        Reading::PerHead,
        Enclosure::new(&instance, trained).beta(Reading::PerHead),
    )];
    let within = |settings: Settings| {
        let eta = step(&instance, trained);
        orbit::enclose(&instance, trained, eta, &claims, 20_000, &settings).unwrap()
    };
    let frugal = within(Settings {
        times_run: 0,
        ..Settings::QUICK
    });
    let stopped = frugal.stopped.unwrap();
    assert!(stopped.contains("--orbit always"), "{stopped}");
    assert!(frugal.steps > 100, "a second allows {}", frugal.steps);
    let short = within(Settings {
        bits: 256,
        ..Settings::QUICK
    });
    let stopped = short.stopped.unwrap();
    assert!(stopped.contains("--bits"), "{stopped}");
}

/// More bits enclose the same orbit: enclosures of the same losses meet.
#[test]
fn more_bits_say_the_same() {
    let dims = Dims {
        N: 1,
        n: 3,
        D: 4,
        d: 2,
        H: 2,
        p: 1,
    };
    let instance = instance(dims, Kernel::Softmax, 2);
    let trained = Trained::QKV;
    let orbit = enclose(&instance, trained, 300);
    // What few bits hold, they hold rightly.
    let enclosure = Enclosure::new(&instance, trained);
    let per_head = Reading::PerHead;
    let claims = [Claimed::reading(per_head, enclosure.beta(per_head))];
    let few = Settings {
        bits: 128,
        ..Settings::default()
    };
    let less = orbit::enclose(
        &instance,
        trained,
        step(&instance, trained),
        &claims,
        300,
        &few,
    )
    .unwrap();
    assert!(less.bits == 128 && less.steps > 0);
    for (a, b) in orbit.losses.iter().zip(&less.losses) {
        assert!(a[0] <= b[1] && b[0] <= a[1]);
    }
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(orbit::enclose(&instance, trained, bad, &claims, 9, &few).is_err());
    }
    let meaningless = 2.0 / claims[0].beta.lo();
    assert!(orbit::enclose(&instance, trained, meaningless, &claims, 9, &few).is_err());
    assert!(orbit::enclose(&instance, trained, 0.1, &[], 9, &few).is_err());
    let none = Settings { bits: 64, ..few };
    assert!(orbit::enclose(&instance, trained, 0.1, &claims, 9, &none).is_err());
    let stop = &mut |t| {
        if t == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let stopped = orbit::enclose_with(
        &instance,
        trained,
        step(&instance, trained),
        &claims,
        300,
        &few,
        stop,
    );
    assert!(matches!(stopped, Err(gdcert::Error::Cancelled)));
}

/// The README's instance: the formula read literally is refuted, first at t = 182, and read per head the bound holds for every t.
#[test]
fn the_literal_reading_is_refuted_at_182() {
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    let instance = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 10.0 }, 19).unwrap();
    let orbit = enclose(&instance, Trained::QKV, 2000);
    let Some(Fate::Refuted(found)) = orbit.fate(Reading::Stacked) else {
        panic!("{:?}", orbit.fates)
    };
    assert_eq!((found.t, found.first), (182, true));
    assert!(found.loss_lower > found.bound_upper);
    assert!(
        matches!(orbit.fate(Reading::PerHead), Some(Fate::Certified { .. })),
        "{:?}",
        orbit.fates
    );
}

/// Lemma 1: differences of G over a ball stay below g times differences of M.
#[test]
fn a_step_expands_by_at_most_g() {
    let dims = Dims {
        N: 2,
        n: 3,
        D: 4,
        d: 2,
        H: 2,
        p: 1,
    };
    let mut draw = Draw(5);
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        for seed in 0..4 {
            let instance = instance(dims, kernel, seed);
            let trained = Trained::QKV;
            let enclosure = Enclosure::new(&instance, trained);
            let rho = 0.05;
            let h = Curvature::new(&instance, trained).unwrap().h(rho);
            let jacobian = enclosure.jacobian_norm_upper() + h * rho;
            let residual = enclosure.residual_norm().hi() + jacobian * rho;
            for multiple in [0.5, 3.0] {
                let eta = multiple / jacobian.powi(2);
                let g = f64::max(1.0, eta * jacobian.powi(2) - 1.0) + eta * residual * h;
                for _ in 0..20 {
                    let mut at = || point(instance.W(), rho, &mut draw);
                    let (a, b) = (at(), at());
                    let [moved_a, moved_b] = [&a, &b].map(|W| {
                        let gradient = model::gradient(&instance, W);
                        stepped(W, &gradient, eta)
                    });
                    assert!(distance(&moved_a, &moved_b) <= g * distance(&a, &b) * (1.0 + 1e-9));
                }
            }
        }
    }
}

fn blocks(W: &Weights) -> [&Vec<DMatrix<f64>>; 3] {
    [&W.Q, &W.K, &W.V]
}

/// A random point of the ball of this radius.
fn point(W: &Weights, rho: f64, draw: &mut Draw) -> Weights {
    let mut moved = W.clone();
    let mut square = 0.0;
    let mut directions = W.clone();
    for block in [&mut directions.Q, &mut directions.K, &mut directions.V] {
        for x in block.iter_mut().flat_map(|w| w.iter_mut()) {
            *x = 2.0 * draw.uniform() - 1.0;
            square += *x * *x;
        }
    }
    let length = rho * draw.uniform() / f64::sqrt(square);
    for (block, direction) in [&mut moved.Q, &mut moved.K, &mut moved.V]
        .into_iter()
        .zip(blocks(&directions))
    {
        for (w, x) in block.iter_mut().zip(direction) {
            *w += x * length;
        }
    }
    moved
}

fn stepped(W: &Weights, gradient: &Weights, eta: f64) -> Weights {
    let mut moved = W.clone();
    for (block, g) in [&mut moved.Q, &mut moved.K, &mut moved.V]
        .into_iter()
        .zip(blocks(gradient))
    {
        for (w, g) in block.iter_mut().zip(g) {
            *w -= g * eta;
        }
    }
    moved
}

fn distance(a: &Weights, b: &Weights) -> f64 {
    let pairs = blocks(a)
        .into_iter()
        .flatten()
        .zip(blocks(b).into_iter().flatten());
    pairs
        .map(|(a, b)| (a - b).norm_squared())
        .sum::<f64>()
        .sqrt()
}
