//! Evaluation in one arithmetic against the others, derivatives against each other, files that hold all.

use crate::random::graph;
use crate::{Builder, Error, Evaluation, Function, Graph, Motion, Operation, Run};
use gdcert_numbers::oracle::Oracle;
use gdcert_numbers::{DoubleDouble, Dual, Fixed, Interval, Scalar, Smooth};
use proptest::prelude::*;
use serde_json::{Value, json};

fn forward<T: Smooth>(graph: &Graph) -> Evaluation<T> {
    let mut at = Evaluation::new(graph);
    at.forward();
    at
}

fn drawn() -> impl Strategy<Value = Graph> {
    let bytes = proptest::collection::vec(any::<u8>(), 120);
    (bytes, 1..8usize).prop_map(|(bytes, steps)| graph(&bytes, steps).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    /// r and J in intervals and balls hold those of 400 bits; f64 and double-double are near.
    #[test]
    fn all_arithmetics_agree(graph in drawn()) {
        let mut exact = forward::<Oracle>(&graph);
        let mut plain = forward::<f64>(&graph);
        let mut pairs = forward::<DoubleDouble>(&graph);
        let mut intervals = forward::<Interval>(&graph);
        let mut balls = forward::<Fixed<4>>(&graph);
        let all = |at: &mut Evaluation<Oracle>| [at.residual().to_vec(), at.jacobian()].concat();
        let truth: Vec<f64> = all(&mut exact).iter().map(|x| x.value()).collect();
        let scale = truth.iter().fold(1.0f64, |s, x| s.max(x.abs()));
        let of_f64 = [plain.residual().to_vec(), plain.jacobian()].concat();
        let of_pairs = [pairs.residual().to_vec(), pairs.jacobian()].concat();
        let of_intervals = [intervals.residual().to_vec(), intervals.jacobian()].concat();
        let of_balls = [balls.residual().to_vec(), balls.jacobian()].concat();
        for (i, &x) in truth.iter().enumerate() {
            prop_assert!((of_f64[i] - x).abs() <= 1e-10 * scale, "f64: {} {x}", of_f64[i]);
            prop_assert!((of_pairs[i].hi() - x).abs() <= 4e-16 * x.abs() + 1e-25 * scale);
            // The truth is rounded to f64 here.
            let slack = 2e-16 * x.abs();
            prop_assert!(of_intervals[i].lo() - slack <= x && x <= of_intervals[i].hi() + slack);
            let (near, error) = of_balls[i].near();
            prop_assert!((near - x).abs() <= error + slack, "{near} {error} {x}");
            prop_assert!(of_balls[i].radius_up() < 1e-40 * scale, "{:e}", of_balls[i].radius_up());
        }
        Oracle::clear();
    }

    /// <w, J v> by reverse, by tangents and by dual numbers.
    #[test]
    fn derivatives_agree_both_ways(graph in drawn(), seed in any::<u64>()) {
        let draw = |i: usize| ((seed >> (i % 50)) % 17) as f64 / 8.0 - 1.0;
        let v: Vec<f64> = (0..graph.P()).map(draw).collect();
        let w: Vec<f64> = (0..graph.m()).map(|i| draw(i + 3)).collect();
        let mut at = forward::<f64>(&graph);
        at.reverse(&w);
        let by_reverse: f64 = at.gradient().iter().zip(&v).map(|(g, v)| g * v).sum();
        at.push(&v);
        let Jv = at.tangent(graph.output()).to_vec();
        let by_push: f64 = Jv.iter().zip(&w).map(|(t, w)| t * w).sum();
        let mut duals = Evaluation::<Dual>::new(&graph);
        for (x, &v) in duals.parameters_mut().iter_mut().zip(&v) {
            x.eps = v;
        }
        duals.forward();
        let scale = 1.0 + Jv.iter().map(|x| x.abs()).sum::<f64>() * w.iter().fold(1.0, |s: f64, x| s.max(x.abs()));
        for (dual, t) in duals.residual().iter().zip(&Jv) {
            prop_assert!((dual.eps - t).abs() <= 1e-11 * scale);
        }
        prop_assert!((by_reverse - by_push).abs() <= 1e-11 * scale);
        let J = at.jacobian();
        for (row, t) in J.chunks(graph.P()).zip(&Jv) {
            let product: f64 = row.iter().zip(&v).map(|(j, v)| j * v).sum();
            prop_assert!((product - t).abs() <= 1e-11 * scale);
        }
    }

    /// Against central differences: the error is O(h^2) and u / h.
    #[test]
    fn the_jacobian_is_the_difference_quotient(graph in drawn(), which in any::<prop::sample::Index>()) {
        let j = which.index(graph.P());
        let mut at = forward::<DoubleDouble>(&graph);
        let column: Vec<f64> = at.jacobian().iter().skip(j).step_by(graph.P()).map(|x| x.hi()).collect();
        let h = DoubleDouble::from_f64(1e-9);
        let mut ends = [h, -h].map(|h| {
            let mut at = Evaluation::<DoubleDouble>::new(&graph);
            at.parameters_mut()[j] += h;
            at.forward();
            at.residual().to_vec()
        }).into_iter();
        let (above, below) = (ends.next().unwrap(), ends.next().unwrap());
        for ((a, b), slope) in above.iter().zip(&below).zip(&column) {
            let quotient = ((*a - *b) / (h + h)).hi();
            prop_assert!((quotient - slope).abs() <= 1e-9 * (1.0 + slope.abs()), "{quotient} {slope}");
        }
    }

    #[test]
    fn files_hold_all(graph in drawn()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.json");
        graph.save(&path).unwrap();
        prop_assert_eq!(&Graph::load(&path).unwrap(), &graph);
        let text = std::fs::read(&path).unwrap();
        let model: Value = serde_json::from_slice(&text).unwrap();
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/model.json");
        let schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
        prop_assert!(jsonschema::is_valid(&schema, &model));
    }

    /// The run's loss is within its bound of the loss in balls; the balls of an orbit hold the run of double-double.
    #[test]
    fn descent_goes_the_same_way(graph in drawn()) {
        let (mut run, mut balls) = (Run::new(&graph), Motion::<Fixed<5>>::new(&graph));
        let mut pairs = Motion::<DoubleDouble>::new(&graph);
        for t in 0..5 {
            let (loss, error) = run.evaluate();
            let mut at = Evaluation::<Fixed<5>>::new(&graph);
            for (x, y) in at.parameters_mut().iter_mut().zip(run.weights()) {
                *x = Fixed::from_f64(y);
            }
            at.forward();
            let half = Fixed::<5>::from_f64(0.5);
            let exact = at.residual().iter().fold(Fixed::from_f64(0.0), |s, &r| s + half * r * r);
            let (near, off) = (exact - Fixed::from_f64(loss)).near();
            prop_assert!(near.abs() <= error + off, "t = {t}: {near:e} {error:e}");
            prop_assert!(error <= 1e-11 * (1.0 + loss));
            balls.evaluate();
            pairs.evaluate();
            for (ball, pair) in balls.weights().zip(pairs.weights()) {
                let (near, off) = (*ball - Fixed::from_f64(pair.hi()) - Fixed::from_f64(pair.lo())).near();
                prop_assert!(near.abs() <= off + 1e-24, "t = {t}: {near:e} {off:e}");
            }
            run.step(0.01);
            balls.step(0.01);
            pairs.step(0.01);
        }
    }
}

/// Every function's first and second derivative, against those of dual numbers.
#[test]
fn derivatives_of_functions() {
    let with_exponents = [
        Function::IntegerPow(3),
        Function::IntegerPow(-2),
        Function::Pow(1.5),
        Function::Pow(-0.25),
    ];
    for function in Function::PLAIN.into_iter().chain(with_exponents) {
        for x in [0.3, 0.9, 1.7, 2.5] {
            let inner = Dual { re: x, eps: 1.0 };
            let y = function.value(Dual {
                re: inner,
                eps: Dual::from_f64(1.0),
            });
            let value = function.value(x);
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-13 * (1.0 + a.abs());
            assert!(near(value, y.re.re), "{function:?}({x})");
            assert!(
                near(function.derivative(x, value), y.re.eps),
                "{function:?}'({x})"
            );
            assert!(
                near(function.second(x, value), y.eps.eps),
                "{function:?}''({x})"
            );
        }
    }
}

fn relu_net(shift: f64) -> Graph {
    let mut b = Builder::new();
    let w = b.parameter("w", &[2], &[1.0, -0.5]).unwrap();
    b.at(Some("net.py:12".to_owned()));
    let moved = b.full(&[2], shift).unwrap();
    let z = b.add(w, moved).unwrap();
    let y = b.relu(z).unwrap();
    let other = b.neg(z).unwrap();
    let larger = b.maximum(y, other).unwrap();
    b.finish(larger).unwrap()
}

#[test]
fn kinks_are_named_where_numbers_enclose() {
    let graph = relu_net(0.5);
    // In f64 evaluation goes on at the kink.
    assert_eq!(forward::<f64>(&graph).residual(), [1.5, 0.0]);
    let at = forward::<Interval>(&graph);
    let kink = at.kink().unwrap();
    assert_eq!((kink.entry, kink.distance), (1, 0.0));
    let why = kink.error(&graph).to_string();
    assert!(
        why.contains("(relu, net.py:12): entry 1 is within"),
        "{why}"
    );
    assert_eq!(at.residual()[1], Interval::ENTIRE);
    assert_eq!(at.residual()[0], Interval::from_f64(1.5));
    assert!(forward::<Fixed<4>>(&graph).kink().is_some());
    // Away from it the branches are those of f64.
    let graph = relu_net(0.25);
    let (mut plain, mut enclosed) = (forward::<f64>(&graph), forward::<Interval>(&graph));
    assert_eq!(enclosed.kink(), None);
    for (x, y) in plain.jacobian().into_iter().zip(enclosed.jacobian()) {
        assert!(y.contains(x));
    }
    assert_eq!(plain.jacobian(), [1.0, 0.0, 0.0, -1.0]);
    assert!(Run::new(&relu_net(0.5)).evaluate().1.is_infinite());
}

fn saved(change: impl Fn(&mut Value)) -> (tempfile::TempDir, Error) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.json");
    relu_net(0.25).save(&path).unwrap();
    let mut model: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut model);
    std::fs::write(&path, model.to_string()).unwrap();
    let why = Graph::load(&path).unwrap_err();
    (folder, why)
}

#[test]
fn malformed_files_are_refused_in_one_line() {
    type Spoil<'a> = &'a dyn Fn(&mut Value);
    let cases: [(&str, Spoil); 17] = [
        ("newer schema", &|m| m["schema"] = json!("gdcert.model/2")),
        ("expected 'gdcert.model/1'", &|m| {
            m["schema"] = json!("gdcert.verdict/1")
        }),
        ("sha256 differs", &|m| m["arrays"]["sha256"] = json!("00")),
        ("not the name of a file beside it", &|m| {
            m["arrays"]["file"] = json!("../m.safetensors")
        }),
        ("cannot be read", &|m| {
            m["arrays"]["file"] = json!("other.safetensors")
        }),
        (
            "node 3 (frobnicate, net.py:12): this operation is not known",
            &|m| m["nodes"][3]["op"] = json!("frobnicate"),
        ),
        (
            "node 3 (relu, net.py:12): input 9 is no node before it",
            &|m| m["nodes"][3]["inputs"] = json!([9]),
        ),
        ("node 3 (relu, net.py:12): input 3 is no node", &|m| {
            m["nodes"][3]["inputs"] = json!([3])
        }),
        (
            "node 3 (relu, net.py:12): the shape of its result is [2], not [3]",
            &|m| m["nodes"][3]["shape"] = json!([3]),
        ),
        ("it has no entry axis", &|m| {
            m["nodes"][3]["axis"] = json!(1)
        }),
        ("node 0 (parameter): its array has shape [2]", &|m| {
            m["nodes"][0]["shape"] = json!([2, 1])
        }),
        ("array lost is missing", &|m| {
            m["nodes"][0]["array"] = json!("lost")
        }),
        ("shape: invalid value", &|m| {
            m["nodes"][0]["shape"] = json!([-1])
        }),
        ("too large", &|m| {
            m["nodes"][1]["shape"] = json!([1_u64 << 40, 1 << 30])
        }),
        ("output 77 is no node", &|m| m["output"] = json!(77)),
        ("no parameter in it", &|m| m["output"] = json!(1)),
        ("value is no number", &|m| {
            m["nodes"][1]["value"] = json!("x")
        }),
    ];
    for (words, change) in cases {
        let why = saved(change).1.to_string();
        assert!(why.contains(words) && !why.contains('\n'), "{words}: {why}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let mut b = Builder::new();
    let a = b.parameter("a", &[2, 3], &[0.0; 6]).unwrap();
    assert!(b.parameter("a", &[1], &[0.0]).is_err());
    assert!(b.parameter("b", &[2], &[0.0]).is_err());
    assert!(b.parameter("b", &[1], &[f64::NAN]).is_err());
    let c = b.full(&[3, 2], 1.0).unwrap();
    let wrong = [
        b.add(a, c),
        b.matmul(a, a),
        b.dot_general(a, c, [&[1, 1], &[0, 0]], [&[], &[]]),
        b.dot_general(a, c, [&[0], &[0]], [&[], &[0]]),
        b.softmax(a, 2),
        b.reduce_sum(a, &[1, 0]),
        b.broadcast_in_dim(a, &[2, 4], &[0, 1]),
        b.reshape(a, &[5]),
        b.transpose(a, &[0, 0]),
        b.slice(a, &[0, 0], &[2, 4], &[1, 1]),
        b.slice(a, &[0, 0], &[2, 3], &[1, 0]),
        b.concatenate(&[a, c], 0),
        b.concatenate(&[], 0),
        b.pad(a, &[1], &[1], 0.0),
        b.pad(a, &[usize::MAX, 0], &[1, 0], 0.0),
        b.rev(a, &[2]),
        b.gather(a, &[1], &[6]),
        b.operation(Operation::Gather, &[a, a]),
        b.operation(Operation::Select, &[a, a, a]),
        b.operation(Operation::Map(Function::Pow(f64::NAN)), &[a]),
        b.operation(Operation::Map(Function::IntegerPow(i32::MIN)), &[a]),
        b.operation(Operation::Parameter(0), &[]),
        b.tanh(99),
        b.full(&[1 << 20, 1 << 20], 0.0),
        b.reshape(a, &[1, 1, 1, 1, 1, 1, 1, 1, 6]),
    ];
    for (i, found) in wrong.into_iter().enumerate() {
        let why = found.expect_err(&format!("case {i}")).to_string();
        assert!(!why.contains('\n') && !why.is_empty(), "{why}");
    }
    // Arrays without entries are no trouble.
    let none = b.slice(a, &[0, 0], &[0, 3], &[1, 1]).unwrap();
    let turned = b.broadcast_in_dim(none, &[1 << 60, 0, 3], &[1, 2]).unwrap();
    assert_eq!(b.shape(turned), [1 << 60, 0, 3]);
    let sum = b.reduce_sum(none, &[0]).unwrap();
    let graph = b.finish(sum).unwrap();
    assert_eq!(forward::<f64>(&graph).jacobian(), [0.0; 18]);
}
