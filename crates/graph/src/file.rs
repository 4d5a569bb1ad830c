//! The file format `gdcert.model/1`: a JSON file of nodes, and a safetensors file beside it with the arrays.

use crate::graph::describe;
use crate::{Array, Builder, Error, Function, Graph, Operation, Result};
use gdcert_base::files::{sha256, write_all};
use gdcert_base::{input, printable::printable_line, schema};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The version of the format, as in the entry `schema`.
pub const SCHEMA: &str = "gdcert.model/1";

/// What takes the place of `.json` in the name of the arrays' file.
pub const ARRAYS_SUFFIX: &str = ".safetensors";

impl Graph {
    /// Reads a model: the JSON file, and the arrays' file that it names, in the same folder.
    ///
    /// # Errors
    /// A file that is missing, no regular one, of another kind or a newer version; arrays with another checksum, of another
    /// type than F64 or not finite; an operation that is not known, shapes that do not fit, inputs that come later. The message
    /// is one line and names the node with the place it came from.
    pub fn load(path: &Path) -> Result<Graph> {
        let model = input::json(path)?;
        let found = model["schema"].as_str().unwrap_or_default();
        schema::readable(path, found, SCHEMA)?;
        let within = |e: Error| Error::file(path, e.to_string());
        let missing = |what: &str| {
            Error::file(
                path,
                format!("{what}; write it anew with gdcert.Model.save"),
            )
        };
        let arrays = &model["arrays"];
        let Some(name) = arrays["file"].as_str() else {
            return Err(missing(
                "arrays.file, the name of the arrays' file, is missing",
            ));
        };
        let plain = Path::new(name).file_name().is_some_and(|n| n == name);
        if !plain || name.chars().any(char::is_control) {
            return Err(missing("arrays.file is not the name of a file beside it"));
        }
        let place = path.with_file_name(name);
        let bytes = input::numbers(&place)
            .map_err(|what| Error::file(&place, format!("the model's arrays {what}")))?;
        if arrays["sha256"].as_str() != Some(&sha256(&bytes)) {
            return Err(Error::file(
                &place,
                format!(
                    "is not the file that {} was written with (its sha256 differs); save the model again",
                    path.display()
                ),
            ));
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| {
            Error::file(
                &place,
                format!("is not a complete safetensors file ({e}); save the model again"),
            )
        })?;
        let array = |name: &str| match tensors.tensor(name) {
            Ok(tensor) => numbers(name, &tensor),
            Err(_) => Err(Error::input(format!(
                "array {} is missing in {}",
                printable_line(name),
                place.display()
            ))),
        };
        Graph::from_parts(&model, array).map_err(within)
    }

    /// Writes the model: `path`, and beside it the arrays' file, named after it.
    ///
    /// # Errors
    /// A name that ends in `.safetensors`, which is the other file's; a place that is not writable.
    pub fn save(&self, path: &Path) -> Result<()> {
        let (folder, stem) = match (path.parent(), path.file_name().and_then(|n| n.to_str())) {
            (Some(folder), Some(name)) if !name.ends_with(ARRAYS_SUFFIX) => {
                (folder, name.strip_suffix(".json").unwrap_or(name))
            }
            _ => {
                return Err(Error::file(
                    path,
                    "is no name for a model; take one that ends in .json",
                ));
            }
        };
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let [arrays, (_, text)] = self.to_files(stem)?;
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        write_all(folder, &[arrays, (name.to_owned(), text)], &|| Ok(()))
    }

    /// The model's two files with their names: the arrays' `STEM.safetensors`, and `STEM.json`, which names it.
    ///
    /// # Errors
    /// None is expected.
    pub fn to_files(&self, stem: &str) -> Result<[(String, Vec<u8>); 2]> {
        let (mut model, arrays) = self.to_parts();
        let bytes = to_safetensors(&arrays)?;
        let name = format!("{stem}{ARRAYS_SUFFIX}");
        model["arrays"] = json!({"file": name, "sha256": sha256(&bytes)});
        let text = schema::to_text(&model)?;
        Ok([(name, bytes), (format!("{stem}.json"), text.into_bytes())])
    }

    /// A safetensors file of the blocks alone, by their names, with these P numbers.
    ///
    /// # Errors
    /// Those of [`with_start`](Self::with_start).
    pub fn point_to_file(&self, M: &[f64]) -> Result<Vec<u8>> {
        let there = self.with_start(M)?;
        let blocks = there.blocks.iter().map(|b| (b.name.clone(), &b.start));
        to_safetensors(&blocks.collect::<Vec<_>>())
    }

    /// A model from the JSON of its file and its arrays by name.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_parts(model: &Value, array: impl Fn(&str) -> Result<Array>) -> Result<Graph> {
        let malformed = |what: &str| Error::input(format!("{what}; see docs/models.md"));
        let nodes = model["nodes"]
            .as_array()
            .ok_or_else(|| malformed("nodes is no list"))?;
        let output = model["output"]
            .as_u64()
            .ok_or_else(|| malformed("output is no node's number"))?;
        let mut builder = Builder::new();
        for (i, node) in nodes.iter().enumerate() {
            read_node(&mut builder, i, node, &array)?;
        }
        builder.finish(usize::try_from(output).unwrap_or(usize::MAX))
    }

    /// The JSON of the model's file without its entry `arrays`, and its arrays by name. Which blocks are trained it does not say.
    pub fn to_parts(&self) -> (Value, Vec<(String, &Array)>) {
        let mut arrays = Vec::new();
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let mut fields = Map::new();
            let parameter = self.parameter(node);
            let op = match parameter {
                Some(_) => "parameter",
                None => node.operation.name(),
            };
            fields.insert("op".to_owned(), op.into());
            if !node.inputs.is_empty() {
                fields.insert("inputs".to_owned(), json!(node.inputs));
            }
            match (&node.operation, parameter) {
                (_, Some((name, start))) => {
                    let array = format!("parameter/{name}");
                    fields.insert("name".to_owned(), json!(name));
                    fields.insert("array".to_owned(), json!(array));
                    arrays.push((array, start));
                }
                (Operation::Constant(i), None) => {
                    let constant = &self.constants[*i];
                    match constant.values.first() {
                        Some(first)
                            if constant
                                .values
                                .iter()
                                .all(|x| x.to_bits() == first.to_bits()) =>
                        {
                            fields.insert("value".to_owned(), json!(first));
                        }
                        _ => {
                            let name = format!("constant/{i}");
                            fields.insert("array".to_owned(), json!(name));
                            arrays.push((name, constant));
                        }
                    }
                }
                (operation, None) => write_settings(operation, &mut fields),
            }
            fields.insert("shape".to_owned(), json!(node.shape));
            if let Some(place) = &node.place {
                fields.insert("place".to_owned(), json!(place));
            }
            nodes.push(Value::Object(fields));
        }
        let model = json!({"schema": SCHEMA, "nodes": nodes, "output": self.output});
        (model, arrays)
    }
}

/// The settings of an operation beside its inputs.
fn write_settings(operation: &Operation, fields: &mut Map<String, Value>) {
    let mut set = |key: &str, value: Value| {
        fields.insert(key.to_owned(), value);
    };
    match operation {
        Operation::Map(Function::IntegerPow(k)) => set("exponent", json!(k)),
        Operation::Map(Function::Pow(a)) => set("exponent", json!(a)),
        Operation::Softmax { axis } | Operation::Concatenate { axis } => set("axis", json!(axis)),
        Operation::DotGeneral { contract, batch } => {
            set("contract", json!(contract));
            set("batch", json!(batch));
        }
        Operation::ReduceSum { axes }
        | Operation::Transpose { axes }
        | Operation::Rev { axes }
        | Operation::BroadcastInDim { axes, .. } => set("axes", json!(axes)),
        Operation::Slice {
            start,
            limit,
            stride,
        } => {
            set("start", json!(start));
            set("limit", json!(limit));
            set("stride", json!(stride));
        }
        Operation::Pad { low, high, value } => {
            set("low", json!(low));
            set("high", json!(high));
            set("value", json!(value));
        }
        _ => {}
    }
}

/// The entries of a node's object, each of which must be read.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    read: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.read.push(key);
        self.map.get(key)
    }

    fn word(&mut self, key: &'static str) -> std::result::Result<&'a str, String> {
        let found = self.get(key).and_then(Value::as_str);
        found.ok_or_else(|| format!("{key} is missing or no text"))
    }

    fn parsed<T: serde::de::DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> std::result::Result<T, String> {
        let found = self.get(key).ok_or_else(|| format!("{key} is missing"))?;
        serde_json::from_value(found.clone()).map_err(|e| format!("{key}: {e}"))
    }

    /// What stands there and was not asked for.
    fn unread(&self) -> Option<&'a String> {
        self.map.keys().find(|key| !self.read.contains(&&key[..]))
    }
}

fn read_node(
    builder: &mut Builder,
    number: usize,
    node: &Value,
    array: &impl Fn(&str) -> Result<Array>,
) -> Result<()> {
    let Some(map) = node.as_object() else {
        return Err(Error::input(format!("node {number} is no object")));
    };
    let mut fields = Fields {
        map,
        read: Vec::new(),
    };
    let word = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str);
        text.map(|text| printable_line(text).into_owned())
    };
    let place = word(fields.get("place"));
    let op = word(map.get("op")).unwrap_or_default();
    let named = describe(number, &op, place.as_deref());
    let within = |what: String| Error::input(format!("{named}: {what}"));
    builder.at(place);
    let shape: Vec<usize> = fields.parsed("shape").map_err(within)?;
    let op = fields.word("op").map_err(within)?;
    match op {
        "parameter" => {
            let name = fields.word("name").map_err(within)?;
            let start = array(fields.word("array").map_err(within)?)?;
            if shape != start.shape {
                return Err(within(format!("its array has shape {:?}", start.shape)));
            }
            builder.parameter(name, &shape, &start.values)?;
        }
        "constant" => match fields.get("value") {
            Some(value) => {
                let value = value.as_f64();
                let value = value.ok_or_else(|| within("value is no number".to_owned()))?;
                builder.full(&shape, value)?;
            }
            None => {
                let values = array(fields.word("array").map_err(within)?)?;
                if shape != values.shape {
                    return Err(within(format!("its array has shape {:?}", values.shape)));
                }
                builder.constant(&shape, &values.values)?;
            }
        },
        op => {
            let inputs: Vec<usize> = fields.parsed("inputs").map_err(within)?;
            let operation = read_operation(op, &shape, &mut fields).map_err(within)?;
            let added = builder.operation(operation, &inputs)?;
            if builder.shape(added) != shape {
                return Err(within(format!(
                    "the shape of its result is {:?}, not {shape:?}",
                    builder.shape(added)
                )));
            }
        }
    }
    match fields.unread() {
        Some(key) => Err(within(format!(
            "it has no entry {}; see docs/models.md",
            printable_line(key)
        ))),
        None => Ok(()),
    }
}

fn read_operation(
    op: &str,
    shape: &[usize],
    fields: &mut Fields<'_>,
) -> std::result::Result<Operation, String> {
    if let Some(function) = Function::PLAIN.iter().find(|f| f.name() == op) {
        return Ok(Operation::Map(*function));
    }
    Ok(match op {
        "integer_pow" => Operation::Map(Function::IntegerPow(fields.parsed("exponent")?)),
        "pow" => Operation::Map(Function::Pow(fields.parsed("exponent")?)),
        "neg" => Operation::Neg,
        "add" => Operation::Add,
        "sub" => Operation::Sub,
        "mul" => Operation::Mul,
        "div" => Operation::Div,
        "max" => Operation::Maximum,
        "softmax" => Operation::Softmax {
            axis: fields.parsed("axis")?,
        },
        "dot_general" => Operation::DotGeneral {
            contract: fields.parsed("contract")?,
            batch: fields.parsed("batch")?,
        },
        "reduce_sum" => Operation::ReduceSum {
            axes: fields.parsed("axes")?,
        },
        "broadcast_in_dim" => Operation::BroadcastInDim {
            shape: shape.to_vec(),
            axes: fields.parsed("axes")?,
        },
        "reshape" => Operation::Reshape {
            shape: shape.to_vec(),
        },
        "transpose" => Operation::Transpose {
            axes: fields.parsed("axes")?,
        },
        "slice" => Operation::Slice {
            start: fields.parsed("start")?,
            limit: fields.parsed("limit")?,
            stride: fields.parsed("stride")?,
        },
        "concatenate" => Operation::Concatenate {
            axis: fields.parsed("axis")?,
        },
        "pad" => Operation::Pad {
            low: fields.parsed("low")?,
            high: fields.parsed("high")?,
            value: fields.parsed("value")?,
        },
        "rev" => Operation::Rev {
            axes: fields.parsed("axes")?,
        },
        "gather" => Operation::Gather,
        "select" => Operation::Select,
        _ => {
            return Err(
                "this operation is not known; docs/models.md lists those that are".to_owned(),
            );
        }
    })
}

fn numbers(name: &str, tensor: &TensorView) -> Result<Array> {
    if tensor.dtype() != Dtype::F64 {
        return Err(Error::input(format!(
            "array {} is {:?}; save it as F64",
            printable_line(name),
            tensor.dtype()
        )));
    }
    let chunks = tensor.data().as_chunks().0.iter();
    Ok(Array {
        shape: tensor.shape().to_vec(),
        values: chunks.map(|b| f64::from_le_bytes(*b)).collect(),
    })
}

fn to_safetensors(arrays: &[(String, &Array)]) -> Result<Vec<u8>> {
    let broken = |e| Error::Numerical(format!("cannot serialize the model: {e}"));
    let data: Vec<Vec<u8>> = arrays
        .iter()
        .map(|(_, array)| array.values.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let views = arrays.iter().zip(&data).map(|((name, array), data)| {
        TensorView::new(Dtype::F64, array.shape.clone(), data).map(|view| (name, view))
    });
    let views = views
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(broken)?;
    safetensors::serialize(views, None).map_err(broken)
}
