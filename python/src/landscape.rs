//! `gdcert.landscape`: the loss around an instance.

use crate::arrays::array;
use crate::errors::{raise, refused};
use crate::instance::{PyInstance, room};
use crate::verify::{object, trained};
use crate::work::{Asked, list, number, quiet, run, size, whole};
use gdcert::Trained;
use gdcert::landscape::{
    Choice, Event, Finished, Grid, Header, InstanceLoss, Run, Source, aim, instance_blocks,
    instance_weights, run as make,
};
use gdcert_base::files::{sha256, write_all};
use gdcert_report::plot::{self, Figure, Format, Landscape, Look};
use numpy::PyArrayDyn;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::{Path, PathBuf};

/// The loss around an instance; made by gdcert.landscape.
///
/// axis: [k], the steps along a direction. surfaces: [seeds, k, k], the loss at (axis[i] along the direction in W_Q,
/// axis[j] along the one in W_K).
#[pyclass(name = "Landscape", module = "gdcert", frozen)]
pub struct PyLandscape {
    found: Finished,
    title: String,
}

impl PyLandscape {
    fn draw(&self, py: Python<'_>, relief: bool) -> PyResult<Figure> {
        let name = format!("{} attention", self.found.header.kernel);
        let panels = [Landscape {
            name: &name,
            surface: &self.found.surfaces[0],
            path: &[],
        }];
        quiet(py, || match relief {
            true => plot::reliefs(&panels, &self.title, &Look::screen()),
            false => plot::contours(&panels, &self.title, &Look::screen()),
        })
    }
}

#[pymethods]
impl PyLandscape {
    /// The steps along a direction, [k].
    #[getter]
    fn axis<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let grid = self.found.header.grid;
        let values = (0..grid.size).map(|i| grid.at(i)).collect();
        array(py, values, &[grid.size])
    }
    /// The loss, [seeds, k, k].
    #[getter]
    fn surfaces<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let (size, found) = (self.found.header.grid.size, &self.found.surfaces);
        let mut values = Vec::with_capacity(found.len() * size * size);
        for surface in found {
            for i in 0..size {
                values.extend((0..size).map(|j| surface.loss(i, j)));
            }
        }
        array(py, values, &[found.len(), size, size])
    }
    /// Approximate eigenvalues of the Hessian: a dict (space, seed) -> (values, weights), seed None for exact ones.
    #[getter]
    fn spectra<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for spectrum in &self.found.spectra {
            let values: Vec<f64> = spectrum.nodes.iter().map(|node| node.eigenvalue).collect();
            let weights: Vec<f64> = spectrum.nodes.iter().map(|node| node.weight).collect();
            let shape = [values.len()];
            let arrays = (array(py, values, &shape)?, array(py, weights, &shape)?);
            dict.set_item((&spectrum.space, spectrum.seed), arrays)?;
        }
        Ok(dict)
    }
    /// What surface.json holds: roughness, the Hessian's ends and how they were made.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object(py, &self.found.json().map_err(raise)?)
    }
    /// Contour lines of the first surface as SVG.
    #[getter]
    fn svg(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.draw(py, false)?.svg())
    }
    /// The first surface as a relief, SVG.
    #[getter]
    fn relief_svg(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.draw(py, true)?.svg())
    }
    /// The loss over both directions on matplotlib axes (new ones if none are given); returns them.
    #[pyo3(signature = (ax = None))]
    fn plot<'py>(
        slf: &Bound<'py, Self>,
        ax: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let module = slf.py().import("gdcert._plot")?;
        module.call_method1("landscape", (slf, ax))
    }
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let module = slf.py().import("gdcert._plot")?;
        module.call_method1("framed", (slf.getattr("svg")?,))
    }
    fn __repr__(&self) -> String {
        format!(
            "gdcert.Landscape(grid={0} x {0}, seeds={1}, centre_loss={2:e})",
            self.found.header.grid.size,
            self.found.surfaces.len(),
            self.found.centre_loss()
        )
    }
}

/// The loss around an instance: a surface over a direction in W_Q and one in W_K, and the Hessian's eigenvalues.
///
/// grid: points to a side, odd. span: the surface reaches from -span to span; 1 is a step as long as the weights.
/// directions: "random" or "hessian" (the sharpest in each block). direction_seeds: one surface for each.
/// lanczos_steps: of Lanczos' method on the Hessian; 0 leaves it out. out: a folder for surface.json, surface.csv and
/// spectrum.csv, and contour and relief as svg and png; resume: go on there. theorem, train, threads, progress: as in gdcert.verify.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, kernel="gaussian")
/// >>> land = gdcert.landscape(inst, grid=5, lanczos_steps=4)
/// >>> land.surfaces.shape
/// (1, 5, 5)
/// >>> bool(land.surfaces[0, 2, 2] == gdcert.loss(inst))
/// True
#[pyfunction]
#[pyo3(signature = (instance, grid = None, span = None, directions = "random", direction_seeds = None, lanczos_steps = None, theorem = None, train = None, out = None, resume = false, threads = None, progress = None))]
#[pyo3(
    text_signature = "(instance, grid=51, span=1.0, directions='random', direction_seeds=(0,), lanczos_steps=40, theorem=1, train=None, out=None, resume=False, threads=None, progress=None)"
)]
#[allow(clippy::too_many_arguments)]
pub fn landscape<'py>(
    py: Python<'py>,
    instance: &PyInstance,
    grid: Option<&Bound<'py, PyAny>>,
    span: Option<&Bound<'py, PyAny>>,
    directions: &str,
    direction_seeds: Option<&Bound<'py, PyAny>>,
    lanczos_steps: Option<&Bound<'py, PyAny>>,
    theorem: Option<&Bound<'py, PyAny>>,
    train: Option<&str>,
    out: Option<PathBuf>,
    resume: bool,
    threads: Option<&Bound<'py, PyAny>>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<PyLandscape> {
    let trained: Trained = trained(theorem, train)?;
    let size = |name: &str, given: Option<&Bound<'py, PyAny>>, default: usize| {
        given.map_or(Ok(default), |given| size(name, given))
    };
    let span = span.map_or(Ok(1.0), |span| number("span", span))?;
    let direction_seeds = direction_seeds.map_or_else(
        || Ok(vec![0]),
        |seeds| list("direction_seeds", seeds, whole),
    )?;
    let grid = Grid::new(size("grid", grid, 51)?, span).map_err(raise)?;
    let lanczos_steps = size("lanczos_steps", lanczos_steps, 40)?;
    let choice: Choice = directions.parse().map_err(raise)?;
    for (i, seed) in direction_seeds.iter().enumerate() {
        if direction_seeds[..i].contains(seed) {
            return Err(refused(format!(
                "direction_seeds names {seed} twice; once is enough"
            )));
        }
    }
    if choice == Choice::Hessian && lanczos_steps == 0 {
        return Err(refused(
            "directions = \"hessian\" needs Lanczos' method; give lanczos_steps = 40 or so",
        ));
    }
    if resume && out.is_none() {
        return Err(refused("resume goes on in a folder; give out"));
    }
    let inner = &instance.inner;
    room(inner.dims(), trained)?;
    let header = Header {
        task: "instance".to_owned(),
        kernel: inner.kernel(),
        centre: Source {
            name: instance.title(),
            sha256: sha256(&inner.to_bytes().map_err(raise)?),
            step: None,
        },
        batch: None,
        precision: "f64".to_owned(),
        directions: choice,
        direction_seeds,
        grid,
        lanczos_steps,
        path: Vec::new(),
    };
    let asked = Asked {
        label: "landscape",
        threads,
        progress,
    };
    let scratch = py.import("tempfile")?.call_method0("TemporaryDirectory")?;
    let folder: PathBuf = match &out {
        Some(out) => out.clone(),
        None => scratch.getattr("name")?.extract()?,
    };
    let found = run(py, &asked, |watch| {
        surfaces(inner, &header, trained, &folder, resume, watch)
    });
    scratch.call_method0("cleanup")?;
    let made = PyLandscape {
        found: found?,
        title: instance.title(),
    };
    if let Some(out) = out {
        let mut figures = Vec::new();
        for (name, as_relief) in [("contour", false), ("relief", true)] {
            let figure = made.draw(py, as_relief)?;
            figures.extend(figure.files(name, &Format::SCREEN).map_err(raise)?);
        }
        write_all(&out, &figures, &|| Ok(())).map_err(raise)?;
    }
    Ok(made)
}

fn surfaces(
    instance: &gdcert::Instance,
    header: &Header,
    trained: Trained,
    folder: &Path,
    resume: bool,
    watch: &crate::work::Watch,
) -> gdcert::Result<Finished> {
    std::fs::create_dir_all(folder).map_err(|e| gdcert::Error::write(folder, e))?;
    let weights = instance_weights(instance.W());
    let blocks = instance_blocks(instance.dims(), trained);
    let threads = rayon::current_num_threads();
    let mut workers: Vec<_> = (0..threads).map(|_| InstanceLoss::new(instance)).collect();
    let seeds = header.direction_seeds.len();
    let steps = header.lanczos_steps * seeds;
    let mut each = |event: Event| match event {
        Event::Aimed(done) => watch.at(done, 2 * steps),
        Event::Points(done) => watch.at(done, header.grid.points() * seeds),
        Event::Products(done) => watch.at(done, 3 * steps),
    };
    let directions = aim(header, &weights, &blocks, &mut workers[0], &mut each)?;
    make(
        Run {
            header,
            weights: &weights,
            blocks: &blocks,
            directions: &directions,
            path: &[],
            workers: &mut workers,
            folder,
            resume,
        },
        &mut each,
    )
}
