//! Fixed-point ends against 1,000-bit arithmetic; orbits and what is said of them against gradient
//! descent in 600 bits.

use super::ends::Ends;
use super::tests::{Big, holds, random};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// More than twice the bits of the longest numbers that are tried.
const BITS: usize = 2000;

fn big(x: f64) -> Big {
    Big::try_from(x).unwrap().with_precision(BITS).value()
}

/// An end, exactly.
fn value<const L: usize>(words: &[u64; L]) -> Big {
    let word = big(2f64.powi(64));
    let mut x = big(0.0);
    for (i, w) in words.iter().enumerate().rev() {
        let [high, low] = [w >> 32, w & 0xffff_ffff].map(|half| big(half as f64));
        x = x * &word + high * big(2f64.powi(32)) + low;
        if i == L - 1 && w >> 63 != 0 {
            x = x - &word;
        }
    }
    (0..L - 1).fold(x, |x, _| x / &word)
}

fn between<const L: usize>(x: &Ends<L>) -> Option<[Big; 2]> {
    x.integers().map(|ends| ends.map(|end| value(&end)))
}

/// Whether the ends enclose the number, and in how many units of the last place.
#[track_caller]
fn covers<const L: usize>(x: &Ends<L>, exact: &Big, units: f64) {
    let Some([lo, hi]) = between(x) else { panic!("nothing is known") };
    assert!(&lo <= exact && exact <= &hi, "{lo} {exact} {hi}");
    let unit = (0..Ends::<L>::BITS).fold(big(1.0), |x, _| x * big(0.5));
    assert!(
        &hi - &lo <= big(units) * &unit,
        "{} units, not {units}",
        ((hi - lo) / unit).to_f64().value()
    );
    assert!(holds(x.ball(), &exact.clone().with_precision(2200).value()));
}

fn any<const L: usize>(rng: &mut ChaCha8Rng, size: i32) -> (Ends<L>, [Big; 3]) {
    // A number of L words below 2^size, now and then of few bits, of either sign.
    let mut words: [u64; L] = std::array::from_fn(|_| match rng.next_u32() % 4 {
        0 => 0,
        1 => u64::MAX,
        _ => rng.next_u64(),
    });
    words[L - 1] = if size > 0 { rng.next_u64() % (1 << size) } else { 0 };
    if size < 0 {
        let whole = (-size) as usize / 64;
        (L - 1 - whole.min(L - 2)..L).for_each(|i| words[i] = 0);
    }
    let mut hi = words;
    match rng.next_u32() % 3 {
        0 => {}
        1 => hi[0] = hi[0].saturating_add(rng.next_u64() % 100),
        _ => hi[1] = hi[1].saturating_add(rng.next_u64() % 100),
    }
    let mut x = Ends::of_integers([words, hi]);
    if rng.next_u32() % 2 == 0 {
        x = -x;
    }
    if rng.next_u32() % 8 == 0 {
        // 0 is inside.
        x = x - Ends::of_integers([words, words]) + Ends::of(1e-9 * random(rng));
    }
    let [lo, hi] = between(&x).unwrap();
    let inside = &lo + (&hi - &lo) * big(random(rng).abs());
    (x, [lo, hi, inside])
}

fn operations<const L: usize>(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ln2 = Ends::<L>::ln2();
    covers(&ln2, &big(2.0).ln(), 4.0 * Ends::<L>::BITS as f64);
    let huge = 1e300;
    for round in 0..60 {
        let sizes = [(rng.next_u32() % 30) as i32, -((rng.next_u32() % 200) as i32)];
        let [a_size, b_size] = if round % 2 == 0 { sizes } else { [sizes[1], sizes[0]] };
        let (a, of_a) = any::<L>(&mut rng, a_size);
        let (b, of_b) = any::<L>(&mut rng, b_size);
        for x in &of_a {
            for y in &of_b {
                covers(&(a + b), &(x + y), huge);
                covers(&(a - b), &(x - y), huge);
                covers(&(a * b), &(x * y), huge);
                covers(
                    &a.top(b),
                    if x > y { &of_a[1] } else { &of_b[1] }.max(&of_a[1]).max(&of_b[1]),
                    huge,
                );
            }
            covers(&-a, &-x.clone(), huge);
            let n = 1 + rng.next_u32() % 1000;
            covers(&a.over(n), &(x / big(n.into())), huge);
            let k = (rng.next_u32() % 300) as usize;
            covers(&a.halved(k), &(0..k).fold(x.clone(), |x, _| x * big(0.5)), huge);
        }
        let (lo, width) = a.split();
        assert!(between(&lo).unwrap().into_iter().all(|end| end == of_a[0]));
        assert!(holds(width, &(&of_a[1] - &of_a[0]).with_precision(2200).value()));
        // Exact operands leave a few units.
        let (a, b) = (lo, b.split().0);
        let (x, y) = (&of_a[0], &of_b[0]);
        covers(&(a + b), &(x + y), 0.0);
        covers(&(a * b), &(x * y), 2.0);
        covers(&a.over(7), &(x / big(7.0)), 1.0);
    }
    for _ in 0..40 {
        let x = [1.0, 30.0, 300.0, 2000.0][rng.next_u32() as usize % 4] * (random(&mut rng) - 1.0)
            / 2.0;
        let a = Ends::<L>::of(x + 0.25).over(3).times(3);
        let x = big(x + 0.25);
        covers(&a.exp(&ln2), &x.exp(), 2f64.powi(12) * (L as f64).powi(3));
        let wide = Ends::of_integers([
            a.integers().unwrap()[0],
            (a + Ends::of(1e-30)).integers().unwrap()[1],
        ]);
        for e in [0.0, 1e-30] {
            covers(&wide.exp(&ln2), &(&x + big(e)).exp(), huge);
        }
        let y = 0.5 + 100.0 * random(&mut rng).abs();
        let a = Ends::<L>::of(y);
        covers(&a.reciprocal(), &(big(1.0) / big(y)), 64.0 + 8.0 * y);
        covers(&a.over(3).times(3).reciprocal(), &(big(1.0) / big(y)), 64.0 + 30.0 * y);
        let x = super::tests::big(random(&mut rng));
        let x: f64 = x.to_f64().value();
        let tiny = x * 2f64.powi(-((rng.next_u32() % 1000) as i32));
        covers(&Ends::<L>::of(tiny), &big(tiny), 1.0);
    }
    for d in [1, 2, 3, 4, 7, 16, 64, 1000, 65_537] {
        let root = Ends::<L>::root(d);
        covers(&root, &big(d.into()).sqrt(), if [1, 4, 16, 64].contains(&d) { 0.0 } else { 16.0 });
    }
    // What does not fit is not known, and neither is what comes of it.
    let large = Ends::<L>::of(2f64.powi(62));
    assert!(large.integers().is_some() && (large + large).integers().is_none());
    for x in [f64::NAN, f64::INFINITY, 2f64.powi(63), -1e300] {
        assert!(Ends::<L>::of(x).integers().is_none());
    }
    let unknown = large * large;
    let zero = Ends::<L>::ZERO;
    let all = [
        unknown * zero,
        unknown + zero,
        -unknown,
        unknown.exp(&ln2),
        unknown.over(2),
        unknown.halved(900),
        unknown.top(zero),
        zero.top(unknown),
        zero.reciprocal(),
        Ends::of(0.4).exp(&ln2),
        zero.over(0),
    ];
    assert!(all.iter().all(|x| x.integers().is_none()));
    assert!(!unknown.ball().is_known() && !unknown.split().1.is_known() && unknown.near().is_nan());
}

#[test]
fn ends_cover_the_exact_results() {
    operations::<4>(1);
    operations::<5>(2);
    operations::<8>(3);
    operations::<12>(4);
}
