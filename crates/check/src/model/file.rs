//! Model files, `gdcert.model/1`: JSON with a list of nodes, and safetensors with their arrays.
//!
//! A node is computed from nodes before it. Shapes are worked out here and have to be those of the file.

use crate::Unreadable;
use crate::instance::{Tensor, numbers, open};
use crate::json::object;
use serde_json::{Map, Value};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    Exp,
    Log,
    Log1p,
    Expm1,
    Sqrt,
    Rsqrt,
    Tanh,
    Logistic,
    Softplus,
    Erf,
    Erfc,
    Sin,
    Cos,
    Atan,
    Relu,
    Abs,
    Whole(i32),
    Power(f64),
}

/// A product sum_k a[batch, i, k] b[batch, k, j]: the axes of both factors that go together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Product {
    pub(crate) batch: [Vec<usize>; 2],
    pub(crate) contracted: [Vec<usize>; 2],
}

impl Product {
    /// The axes of a factor that are in no pair.
    pub(crate) fn free(&self, side: usize, rank: usize) -> Vec<usize> {
        let named = |a: &usize| self.batch[side].contains(a) || self.contracted[side].contains(a);
        (0..rank).filter(|a| !named(a)).collect()
    }
}

/// How a node comes from its inputs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// A trained block, by its place among them.
    Parameter(usize),
    Constant(Vec<f64>),
    Neg,
    Map(Function),
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Softmax(usize),
    Product(Product),
    /// Over these axes.
    Sum(Vec<usize>),
    /// For each entry of the result the input and the entry it is; or a number.
    Moved(Vec<Result<(usize, usize), f64>>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<usize>,
    pub(crate) shape: Vec<usize>,
    /// Whether a trained parameter is in it.
    pub(crate) varies: bool,
}

impl Node {
    pub(crate) fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A block that gradient descent moves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) start: Vec<f64>,
}

/// A model: r(M) is the output's entries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    pub(crate) nodes: Vec<Node>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) output: usize,
}

/// More entries of all arrays together are not looked at.
const MOST_ENTRIES: usize = 1 << 24;
const MOST_AXES: usize = 8;

type Read<T> = Result<T, Unreadable>;

fn fail<T>(why: impl Into<String>) -> Read<T> {
    Err(Unreadable::new(why))
}

/// The coordinates of an entry.
pub(crate) fn coordinates(shape: &[usize], mut entry: usize) -> Vec<usize> {
    let mut at = vec![0; shape.len()];
    for a in (0..shape.len()).rev() {
        at[a] = entry % shape[a];
        entry /= shape[a];
    }
    at
}

/// The entry with these coordinates.
pub(crate) fn entry(shape: &[usize], at: &[usize]) -> usize {
    shape.iter().zip(at).fold(0, |e, (n, x)| e * n + x)
}

/// The number of entries, if it is not too large.
fn size(shape: &[usize]) -> Option<usize> {
    let size = shape.iter().try_fold(1usize, |p, n| p.checked_mul(*n))?;
    (size <= MOST_ENTRIES && shape.len() <= MOST_AXES).then_some(size)
}

impl Model {
    /// The model in these files, with the parameters in `trained` as its blocks, which have to be in the model's order.
    pub(crate) fn read(json: &[u8], tensors: &[u8], trained: &[String]) -> Read<Model> {
        let model = object(json, "the model")?;
        if model["schema"].as_str() != Some("gdcert.model/1") {
            return fail("the schema of the model is not gdcert.model/1");
        }
        if let Some(name) = unknown(&model, &["schema", "nodes", "output", "arrays"]) {
            return fail(format!("`{name}` is no field of a model"));
        }
        let (tensors, data) = open(tensors)?;
        let arrays = Arrays { tensors, data };
        let list = model["nodes"].as_array().map_or(&[][..], |nodes| nodes);
        let mut made = Model { nodes: Vec::new(), blocks: Vec::new(), output: 0 };
        let mut names = Vec::new();
        let mut entries = 0usize;
        for (i, value) in list.iter().enumerate() {
            let within = |e: Unreadable| Unreadable::new(format!("node {i}: {}", e.what));
            let node = made.node(value, &arrays, trained, &mut names).map_err(within)?;
            entries = entries.saturating_add(node.size());
            if entries > MOST_ENTRIES {
                return fail("the model's arrays have too many entries");
            }
            made.nodes.push(node);
        }
        let found: Vec<&String> = made.blocks.iter().map(|block| &block.name).collect();
        if trained.is_empty() || found.len() != trained.len() || found.into_iter().ne(trained) {
            return fail(format!(
                "the trained blocks {trained:?} are not parameters of the model, in its order"
            ));
        }
        let output = model["output"].as_u64().and_then(|x| usize::try_from(x).ok());
        made.output = match output.filter(|x| *x < made.nodes.len()) {
            Some(output) if made.nodes[output].varies && made.nodes[output].size() > 0 => output,
            _ => return fail("the output is no node that depends on a trained parameter"),
        };
        Ok(made)
    }

    /// m.
    pub(crate) fn residuals(&self) -> usize {
        self.nodes[self.output].size()
    }

    /// P.
    pub(crate) fn parameters(&self) -> usize {
        self.blocks.iter().map(|block| block.start.len()).sum()
    }

    /// Where each block begins among all parameters; and P.
    pub(crate) fn places(&self) -> Vec<usize> {
        let mut places = vec![0];
        for block in &self.blocks {
            places.push(places[places.len() - 1] + block.start.len());
        }
        places
    }

    /// All entries of the blocks.
    pub(crate) fn start(&self) -> Vec<f64> {
        self.blocks.iter().flat_map(|block| &block.start).copied().collect()
    }

    /// The blocks in a file that holds these alone.
    pub(crate) fn point(&self, tensors: &[u8]) -> Read<Vec<f64>> {
        let (tensors, data) = open(tensors)?;
        if tensors.len() != self.blocks.len() {
            return fail("the tensors are not the trained blocks");
        }
        let arrays = Arrays { tensors, data };
        let mut point = Vec::new();
        for block in &self.blocks {
            let (shape, values) = arrays.get(&block.name)?;
            if shape != block.shape {
                return fail(format!(
                    "{} has the shape {shape:?}, not {:?}",
                    block.name, block.shape
                ));
            }
            point.extend(values);
        }
        Ok(point)
    }

    fn node(
        &mut self,
        value: &Value,
        arrays: &Arrays,
        trained: &[String],
        names: &mut Vec<String>,
    ) -> Read<Node> {
        let Some(map) = value.as_object() else { return fail("is no object") };
        let mut fields = Entries { map, taken: vec!["place"] };
        let op: String = fields.word("op")?;
        let shape = fields.list("shape")?;
        if size(&shape).is_none() {
            return fail(format!("the shape {shape:?} is too large"));
        }
        let leaf = |op: Op, varies: bool, shape: Vec<usize>| Node {
            op,
            inputs: Vec::new(),
            shape,
            varies,
        };
        let node = match op.as_str() {
            "parameter" => {
                let name = fields.word("name")?;
                let (found, values) = arrays.get(&fields.word("array")?)?;
                if found != shape || name.is_empty() || names.contains(&name) {
                    return fail(format!(
                        "the parameter {name:?} is there twice, or its shape is another one"
                    ));
                }
                names.push(name.clone());
                if trained.contains(&name) {
                    self.blocks.push(Block { name, shape: shape.clone(), start: values });
                    leaf(Op::Parameter(self.blocks.len() - 1), true, shape)
                } else {
                    leaf(Op::Constant(values), false, shape)
                }
            }
            "constant" => {
                let values = match fields.get("value") {
                    Some(value) => match value.as_f64().filter(|x| x.is_finite()) {
                        Some(x) => vec![x; shape.iter().product()],
                        None => return fail("the value is no number"),
                    },
                    None => {
                        let (found, values) = arrays.get(&fields.word("array")?)?;
                        if found != shape {
                            return fail("its array has another shape");
                        }
                        values
                    }
                };
                leaf(Op::Constant(values), false, shape)
            }
            _ => {
                let inputs = fields.list("inputs")?;
                if inputs.iter().any(|i| *i >= self.nodes.len()) {
                    return fail("an input is not a node before it");
                }
                let of: Vec<&Node> = inputs.iter().map(|i| &self.nodes[*i]).collect();
                let (op, found) = operation(&op, &of, &shape, &mut fields)?;
                if found != shape {
                    return fail(format!("the shape is {found:?}, not {shape:?}"));
                }
                let varies = of.iter().any(|node| node.varies);
                Node { op, inputs, shape, varies }
            }
        };
        match map.keys().find(|key| !fields.taken.contains(&key.as_str())) {
            Some(key) => fail(format!("`{}` is no field of this operation", key.escape_debug())),
            None => Ok(node),
        }
    }
}

fn unknown<'a>(value: &'a Value, known: &[&str]) -> Option<&'a String> {
    value.as_object()?.keys().find(|key| !known.contains(&key.as_str()))
}

struct Arrays<'a> {
    tensors: Vec<Tensor>,
    data: &'a [u8],
}

impl Arrays<'_> {
    fn get(&self, name: &str) -> Read<(Vec<usize>, Vec<f64>)> {
        let Some(tensor) = self.tensors.iter().find(|tensor| tensor.name == name) else {
            return fail(format!("the array {name:?} is missing"));
        };
        if tensor.dtype != "F64" {
            return fail(format!("the array {name:?} is {:?}, not F64", tensor.dtype));
        }
        Ok((tensor.shape.clone(), numbers(tensor, &self.data[tensor.begin..tensor.end])?))
    }
}

/// A node's fields.
struct Entries<'a> {
    map: &'a Map<String, Value>,
    taken: Vec<&'static str>,
}

impl<'a> Entries<'a> {
    fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.taken.push(name);
        self.map.get(name)
    }

    fn word(&mut self, name: &'static str) -> Read<String> {
        match self.get(name).and_then(Value::as_str) {
            Some(word) => Ok(word.to_owned()),
            None => fail(format!("`{name}` is missing or no text")),
        }
    }

    fn list(&mut self, name: &'static str) -> Read<Vec<usize>> {
        match self.get(name).and_then(whole_numbers) {
            Some(list) => Ok(list),
            None => fail(format!("`{name}` is missing or no list of whole numbers")),
        }
    }

    /// A list of two lists.
    fn pair(&mut self, name: &'static str) -> Read<[Vec<usize>; 2]> {
        let lists = self.get(name).and_then(Value::as_array);
        let lists: Option<Vec<_>> = lists.and_then(|all| all.iter().map(whole_numbers).collect());
        match lists.and_then(|lists| <[Vec<usize>; 2]>::try_from(lists).ok()) {
            Some(pair) => Ok(pair),
            None => fail(format!("`{name}` is missing or no pair of lists")),
        }
    }

    fn axis(&mut self, rank: usize) -> Read<usize> {
        let axis = self.get("axis").and_then(Value::as_u64).map(|a| a as usize);
        axis.filter(|a| *a < rank).map_or_else(|| fail("`axis` is missing or no axis"), Ok)
    }
}

fn whole_numbers(value: &Value) -> Option<Vec<usize>> {
    let number = |x: &Value| usize::try_from(x.as_u64()?).ok();
    value.as_array()?.iter().map(number).collect()
}

/// Different axes below the rank.
fn different(axes: &[usize], rank: usize) -> bool {
    (0..axes.len()).all(|i| axes[i] < rank && !axes[..i].contains(&axes[i]))
}

/// The values of an input that has to be a constant array.
fn constant<'a>(node: &'a Node, what: &str) -> Read<&'a [f64]> {
    match &node.op {
        Op::Constant(values) => Ok(values),
        _ => fail(format!("its {what} are no constant array")),
    }
}

/// The operation of this name and the shape of its result.
fn operation(
    name: &str,
    of: &[&Node],
    wanted: &[usize],
    fields: &mut Entries,
) -> Read<(Op, Vec<usize>)> {
    let functions = [
        ("exp", Function::Exp),
        ("log", Function::Log),
        ("log1p", Function::Log1p),
        ("expm1", Function::Expm1),
        ("sqrt", Function::Sqrt),
        ("rsqrt", Function::Rsqrt),
        ("tanh", Function::Tanh),
        ("logistic", Function::Logistic),
        ("softplus", Function::Softplus),
        ("erf", Function::Erf),
        ("erfc", Function::Erfc),
        ("sin", Function::Sin),
        ("cos", Function::Cos),
        ("atan", Function::Atan),
        ("relu", Function::Relu),
        ("abs", Function::Abs),
    ];
    let count =
        |n: usize| if of.len() == n { Ok(()) } else { fail(format!("has {} inputs", of.len())) };
    let same = || match of.iter().all(|node| node.shape == of[0].shape) {
        true => Ok(of[0].shape.clone()),
        false => fail("its inputs have different shapes"),
    };
    if name != "concatenate" {
        count(match name {
            "add" | "sub" | "mul" | "div" | "max" | "dot_general" | "gather" => 2,
            "select" => 3,
            _ => 1,
        })?;
    } else if of.is_empty() {
        return fail("has no inputs");
    }
    let a = &of[0].shape;
    let rank = a.len();
    if let Some((_, function)) = functions.iter().find(|(known, _)| *known == name) {
        return Ok((Op::Map(*function), a.clone()));
    }
    Ok(match name {
        "integer_pow" => {
            let k = fields.get("exponent").and_then(Value::as_i64);
            match k.and_then(|k| i32::try_from(k).ok()).filter(|k| k.abs() <= 1 << 20) {
                Some(k) => (Op::Map(Function::Whole(k)), a.clone()),
                None => return fail("`exponent` is missing or no whole number"),
            }
        }
        "pow" => match fields.get("exponent").and_then(Value::as_f64).filter(|x| x.is_finite()) {
            Some(x) => (Op::Map(Function::Power(x)), a.clone()),
            None => return fail("`exponent` is missing or no number"),
        },
        "neg" => (Op::Neg, a.clone()),
        "add" => (Op::Add, same()?),
        "sub" => (Op::Sub, same()?),
        "mul" => (Op::Mul, same()?),
        "div" => (Op::Div, same()?),
        "max" => (Op::Max, same()?),
        "softmax" => {
            let axis = fields.axis(rank)?;
            if a[axis] == 0 {
                return fail("it has no entries along its axis");
            }
            (Op::Softmax(axis), a.clone())
        }
        "dot_general" => {
            let (contracted, batch) = (fields.pair("contract")?, fields.pair("batch")?);
            let product = Product { batch, contracted };
            let shapes = [a, &of[1].shape];
            for side in 0..2 {
                let named = [&product.batch[side][..], &product.contracted[side][..]].concat();
                if !different(&named, shapes[side].len()) {
                    return fail("its axes are not axes of the inputs, or not different");
                }
            }
            for of in [&product.batch, &product.contracted] {
                let alike = |(i, j): (&usize, &usize)| shapes[0][*i] == shapes[1][*j];
                if of[0].len() != of[1].len() || !of[0].iter().zip(&of[1]).all(alike) {
                    return fail("the paired axes of its inputs differ");
                }
            }
            let mut shape: Vec<usize> = product.batch[0].iter().map(|i| a[*i]).collect();
            for side in 0..2 {
                shape.extend(
                    product.free(side, shapes[side].len()).iter().map(|i| shapes[side][*i]),
                );
            }
            (Op::Product(product), shape)
        }
        "reduce_sum" => {
            let axes = fields.list("axes")?;
            if !different(&axes, rank) {
                return fail("its axes are not axes of the input, or not different");
            }
            let shape = (0..rank).filter(|i| !axes.contains(i)).map(|i| a[i]).collect();
            (Op::Sum(axes), shape)
        }
        _ => moved(name, of, wanted, fields)?,
    })
}

/// An operation that moves entries.
fn moved(
    name: &str,
    of: &[&Node],
    wanted: &[usize],
    fields: &mut Entries,
) -> Read<(Op, Vec<usize>)> {
    let a = &of[0].shape;
    let rank = a.len();
    let n = |shape: &[usize]| size(shape).map_or_else(|| fail("its result is too large"), Ok);
    // The entry of the input for each of the result, by coordinates.
    let by = |shape: Vec<usize>, from: &dyn Fn(&[usize]) -> Vec<usize>| -> Read<(Op, Vec<usize>)> {
        let entries = (0..n(&shape)?).map(|e| Ok((0, entry(a, &from(&coordinates(&shape, e))))));
        Ok((Op::Moved(entries.collect()), shape))
    };
    match name {
        "broadcast_in_dim" => {
            let axes = fields.list("axes")?;
            let increasing = axes.windows(2).all(|w| w[0] < w[1]);
            if axes.len() != rank || !increasing || axes.iter().any(|x| *x >= wanted.len()) {
                return fail(
                    "its axes are not increasing axes of the result, one for each of the input's",
                );
            }
            if (0..rank).any(|i| a[i] != 1 && a[i] != wanted[axes[i]]) {
                return fail("its input does not fit into the result");
            }
            by(wanted.to_vec(), &|at| {
                (0..rank).map(|i| if a[i] == 1 { 0 } else { at[axes[i]] }).collect()
            })
        }
        "reshape" => {
            if n(wanted)? != n(a)? {
                return fail("its input has another number of entries");
            }
            let entries = (0..n(wanted)?).map(|e| Ok((0, e)));
            Ok((Op::Moved(entries.collect()), wanted.to_vec()))
        }
        "transpose" => {
            let axes = fields.list("axes")?;
            if axes.len() != rank || !different(&axes, rank) {
                return fail("its axes are no permutation");
            }
            by(axes.iter().map(|i| a[*i]).collect(), &|at| {
                let mut from = vec![0; rank];
                axes.iter().zip(at).for_each(|(i, x)| from[*i] = *x);
                from
            })
        }
        "slice" => {
            let (start, limit) = (fields.list("start")?, fields.list("limit")?);
            let stride = fields.list("stride")?;
            let fits = |i: usize| start[i] <= limit[i] && limit[i] <= a[i] && stride[i] > 0;
            if [&start, &limit, &stride].iter().any(|x| x.len() != rank) || !(0..rank).all(fits) {
                return fail("start, limit and stride do not fit the input");
            }
            by((0..rank).map(|i| (limit[i] - start[i]).div_ceil(stride[i])).collect(), &|at| {
                (0..rank).map(|i| start[i] + at[i] * stride[i]).collect()
            })
        }
        "rev" => {
            let axes = fields.list("axes")?;
            if !different(&axes, rank) {
                return fail("its axes are not axes of the input, or not different");
            }
            by(a.clone(), &|at| {
                (0..rank)
                    .map(|i| if axes.contains(&i) { a[i] - 1 - at[i] } else { at[i] })
                    .collect()
            })
        }
        "concatenate" => {
            let axis = fields.axis(rank)?;
            let alike = |b: &&&Node| {
                b.shape.len() == rank && (0..rank).all(|i| i == axis || b.shape[i] == a[i])
            };
            if of.iter().filter(alike).count() != of.len() {
                return fail("its inputs have shapes that do not fit");
            }
            let mut shape = a.clone();
            shape[axis] = of.iter().map(|b| b.shape[axis]).sum();
            let place = |e: usize| {
                let mut at = coordinates(&shape, e);
                let mut input = 0;
                while at[axis] >= of[input].shape[axis] {
                    at[axis] -= of[input].shape[axis];
                    input += 1;
                }
                Ok((input, entry(&of[input].shape, &at)))
            };
            Ok((Op::Moved((0..n(&shape)?).map(place).collect()), shape))
        }
        "pad" => {
            let (low, high) = (fields.list("low")?, fields.list("high")?);
            let value = fields.get("value").and_then(Value::as_f64).filter(|x| x.is_finite());
            let (true, Some(value)) = (low.len() == rank && high.len() == rank, value) else {
                return fail("low, high and value do not fit the input");
            };
            let add = |i: usize| a[i].checked_add(low[i])?.checked_add(high[i]);
            let Some(shape) = (0..rank).map(add).collect::<Option<Vec<usize>>>() else {
                return fail("its result is too large");
            };
            let place = |e: usize| {
                let at = coordinates(&shape, e);
                let inside = (0..rank).all(|i| low[i] <= at[i] && at[i] - low[i] < a[i]);
                if !inside {
                    return Err(value);
                }
                let at: Vec<usize> = (0..rank).map(|i| at[i] - low[i]).collect();
                Ok((0, entry(a, &at)))
            };
            Ok((Op::Moved((0..n(&shape)?).map(place).collect()), shape.clone()))
        }
        "gather" => {
            let size = n(a)?;
            let indices = constant(of[1], "indices")?;
            let whole = |x: &f64| {
                (*x >= 0.0 && *x < size as f64 && x.fract() == 0.0).then_some(*x as usize)
            };
            match indices.iter().map(|x| whole(x).map(|e| Ok((0, e)))).collect() {
                Some(entries) => Ok((Op::Moved(entries), of[1].shape.clone())),
                None => fail("an index is no entry of the input"),
            }
        }
        "select" => {
            let mask = constant(of[0], "masks")?;
            if of[1].shape != *a || of[2].shape != *a {
                return fail("its inputs have different shapes");
            }
            let arm = |(e, x): (usize, &f64)| match *x {
                1.0 => Some(Ok((1, e))),
                0.0 => Some(Ok((2, e))),
                _ => None,
            };
            match mask.iter().enumerate().map(arm).collect() {
                Some(entries) => Ok((Op::Moved(entries), a.clone())),
                None => fail("an entry of the mask is neither 0 nor 1"),
            }
        }
        _ => fail(format!("the operation {name:?} is not known")),
    }
}
