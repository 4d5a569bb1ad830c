//! `gdcert landscape`: the loss around a checkpoint or an instance.

use super::instance::InstanceArgs;
use super::out::OutDir;
use super::progress::Progress;
use super::{Common, Outcome, interrupted, print, whole};
use crate::{Error, Result};
use gdcert::check_room;
use gdcert::descent::Steps;
use gdcert::landscape::{
    Blocks, Choice, Event, Finished, Grid, Header, InstanceLoss, Loss, Run, Samples, Source, aim,
    instance_blocks, instance_weights, run as make,
};
use gdcert::model::{Kernel, Precision, Trained};
use gdcert_base::files::sha256;
use gdcert_report::plot::{self, Landscape};
use gdcert_train::data::{Dataset, Sample, Task};
use gdcert_train::training::{Checkpoint, Settings, check_training_room};
use gdcert_train::{ClassifierLoss, classifier_blocks};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The loss around a checkpoint or an instance: a surface over a direction in W^Q and one in W^K, and the Hessian's eigenvalues
///
/// The directions move the query (key) weights of all layers at once; 1 on an axis is a step as long as these weights.
/// Writes surface.json, surface.csv, spectrum.csv, and contour and relief as svg and png.
#[derive(clap::Args)]
#[command(
    after_help = "Examples: gdcert landscape checkpoint-0.safetensors --task imdb --data imdb --out softmax; \
                  gdcert landscape -N 2 -n 4 -D 8 -d 4 -H 3 --kernel gaussian; \
                  gdcert landscape --plot softmax gaussian --out both"
)]
pub(super) struct Args {
    /// A checkpoint of gdcert train (or give an instance, or --plot)
    #[arg(value_name = "CKPT")]
    checkpoint: Option<PathBuf>,
    /// imdb or pathfinder [default: the checkpoint's]
    #[arg(long, value_name = "TASK", requires = "checkpoint")]
    task: Option<Task>,
    /// Folder with the samples, see gdcert data
    #[arg(long, value_name = "DIR", requires = "checkpoint")]
    data: Option<PathBuf>,
    /// Tokens of a sample that are read [default: the checkpoint's]
    #[arg(long, value_name = "n", requires = "checkpoint", allow_negative_numbers = true, value_parser = whole::<usize>)]
    length: Option<usize>,
    /// Samples of the loss: the first of those that gdcert train evaluates on; 0 is all [default: 32]
    #[arg(
        id = "loss_samples",
        long = "samples",
        value_name = "N",
        requires = "checkpoint",
        allow_negative_numbers = true, value_parser = whole::<usize>
    )]
    samples: Option<usize>,
    /// Other checkpoints of the run, in order, whose path is drawn
    #[arg(
        long,
        value_name = "CKPT,CKPT",
        requires = "checkpoint",
        value_delimiter = ','
    )]
    path: Vec<PathBuf>,
    /// Points to a side of the surface, odd
    #[arg(long, value_name = "K", default_value_t = 51, allow_negative_numbers = true, value_parser = whole::<usize>)]
    grid: usize,
    /// The surface reaches from -X to X
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1.0,
        allow_negative_numbers = true
    )]
    span: f64,
    /// random (as long as the weights, filter by filter) or hessian (the sharpest in each block)
    #[arg(long, value_name = "HOW", default_value = "random")]
    directions: Choice,
    /// One surface, and one start of Lanczos' method, for each; the first surface is drawn
    #[arg(long, value_name = "S,S", default_value = "0", value_delimiter = ',', allow_negative_numbers = true, value_parser = whole::<u64>)]
    direction_seeds: Vec<u64>,
    /// Steps of Lanczos' method on the Hessian of W^Q, of W^K and of all weights; 0 leaves it out
    #[arg(long, value_name = "M", default_value_t = 40, allow_negative_numbers = true, value_parser = whole::<usize>)]
    lanczos_steps: usize,
    /// Go on where an interrupted run stopped
    #[arg(long)]
    resume: bool,
    /// Draw finished landscapes again, side by side on the same scales
    #[arg(long, value_name = "DIR", num_args = 1..=4, conflicts_with_all = ["checkpoint", "resume"])]
    plot: Vec<PathBuf>,
    #[command(flatten)]
    instance: InstanceArgs,
}

/// Points that are worked on at a time with a classifier, which uses all threads for one point as well.
const AT_A_TIME: usize = 2;

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    if !args.plot.is_empty() {
        if args.instance.is_given() {
            return Err(Error::input(
                "--plot draws what is there; drop the flags of an instance",
            ));
        }
        return draw_again(&args.plot, common, line);
    }
    let asked = Asked {
        grid: Grid::new(args.grid, args.span)?,
        seeds: distinct(&args.direction_seeds)?,
    };
    if args.directions == Choice::Hessian && args.lanczos_steps == 0 {
        return Err(Error::input(
            "--directions hessian needs Lanczos' method; give --lanczos-steps 40 or so",
        ));
    }
    match &args.checkpoint {
        Some(_) if args.instance.is_given() => Err(Error::input(
            "a checkpoint and the flags of an instance do not go together; drop one of them",
        )),
        Some(file) => of_checkpoint(args, asked, file, common, line),
        None if args.instance.is_given() => of_instance(args, asked, common, line),
        None => Err(Error::input(
            "nothing to look at; give a checkpoint, an instance (-N -n -D -d -H, or --instance FILE), or --plot DIR",
        )),
    }
}

struct Asked {
    grid: Grid,
    seeds: Vec<u64>,
}

fn distinct(seeds: &[u64]) -> Result<Vec<u64>> {
    for (i, seed) in seeds.iter().enumerate() {
        if seeds[..i].contains(seed) {
            return Err(Error::input(format!(
                "--direction-seeds names {seed} twice; once is enough"
            )));
        }
    }
    Ok(seeds.to_vec())
}

fn of_checkpoint(
    args: &Args,
    asked: Asked,
    file: &Path,
    common: &Common,
    line: &str,
) -> Result<Outcome> {
    let at = Checkpoint::read(file)?;
    let trained = &at.state.settings;
    if let Some(task) = args.task.filter(|task| *task != trained.task) {
        return Err(Error::input(format!(
            "--task {task} but {} was trained on {}",
            file.display(),
            trained.task
        )));
    }
    let Some(source) = &args.data else {
        return Err(Error::input(
            "--data is missing; give the folder with the samples, see gdcert data",
        ));
    };
    let count = args.samples.unwrap_or(32);
    let settings = Settings {
        kernel: args.instance.kernel()?.unwrap_or(trained.kernel),
        ..trained.clone()
    };
    let read = args.length.unwrap_or(settings.length);
    // As many positions as were trained; other lengths are padded as in training.
    let length = Settings {
        length: read,
        ..settings.clone()
    }
    .padded();
    let architecture = settings.architecture();
    if read == 0 || length > architecture.positions {
        return Err(Error::input(format!(
            "--length {read} does not fit the checkpoint's {0} positions; choose from 1 to {0}",
            architecture.positions
        )));
    }
    let path = args
        .path
        .iter()
        .map(|file| {
            let weights = as_vector(Checkpoint::read_parameters(file, &settings)?.values());
            Ok((named(file, Some(Checkpoint::read_step(file)?))?, weights))
        })
        .collect::<Result<Vec<_>>>()?;
    check_training_room(&Settings {
        batch: settings.batch.saturating_mul(AT_A_TIME),
        ..settings.clone()
    })?;
    let (mut data, note) = settings.task.read(source, read)?;
    if settings.dev && data.dev.is_empty() {
        data.hold_out(0);
    }
    if let Some(note) = note {
        eprintln!("gdcert: {note}");
    }
    let (split, part) = if settings.dev {
        ("dev", &data.dev)
    } else {
        ("test", &data.test)
    };
    let samples: Vec<&Sample> = Dataset::choice(part, count);
    let workers = rayon::current_num_threads().min(AT_A_TIME);
    let worker =
        |_| ClassifierLoss::<f32>::new(&architecture, &samples, data.shift, length, settings.batch);
    let mut workers = (0..workers).map(worker).collect::<Result<Vec<_>>>()?;
    let header = Header {
        task: settings.task.to_string(),
        kernel: settings.kernel,
        centre: named(file, Some(at.state.step))?,
        batch: Some(Samples {
            split: split.to_owned(),
            samples: samples.len(),
            read,
            length,
        }),
        precision: "f32".to_owned(),
        ..header(
            args,
            asked,
            settings.kernel,
            path.iter().map(|p| p.0.clone()).collect(),
        )
    };
    let weights = as_vector(at.parameters.values());
    let blocks = classifier_blocks(&architecture);
    let path: Vec<Vec<f64>> = path.into_iter().map(|p| p.1).collect();
    finish(
        args,
        common,
        line,
        &header,
        &weights,
        &blocks,
        &path,
        &mut workers,
    )
}

fn of_instance(args: &Args, asked: Asked, common: &Common, line: &str) -> Result<Outcome> {
    let trained: Trained = args.instance.trained()?;
    let source = args
        .instance
        .load(|dims| check_room(dims, trained, Steps::Exactly(0), Precision::F64))?;
    let instance = &source.instance;
    let header = Header {
        centre: Source {
            name: source.title.clone(),
            sha256: sha256(&instance.to_bytes()?),
            step: None,
        },
        ..header(args, asked, instance.kernel(), Vec::new())
    };
    let weights = instance_weights(instance.W());
    let blocks = instance_blocks(instance.dims(), trained);
    let threads = rayon::current_num_threads();
    let mut workers: Vec<_> = (0..threads).map(|_| InstanceLoss::new(instance)).collect();
    finish(
        args,
        common,
        line,
        &header,
        &weights,
        &blocks,
        &[],
        &mut workers,
    )
}

/// A header for an instance without a name.
fn header(args: &Args, asked: Asked, kernel: Kernel, path: Vec<Source>) -> Header {
    Header {
        task: "instance".to_owned(),
        kernel,
        centre: Source {
            name: String::new(),
            sha256: String::new(),
            step: None,
        },
        batch: None,
        precision: "f64".to_owned(),
        directions: args.directions,
        direction_seeds: asked.seeds,
        grid: asked.grid,
        lanczos_steps: args.lanczos_steps,
        path,
    }
}

fn named(file: &Path, step: Option<u64>) -> Result<Source> {
    let bytes =
        std::fs::read(file).map_err(|e| Error::file(file, format!("cannot be read: {e}")))?;
    let name = file.file_name().unwrap_or(file.as_os_str());
    Ok(Source {
        name: name.to_string_lossy().into_owned(),
        sha256: sha256(&bytes),
        step,
    })
}

fn as_vector(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&w| w.into()).collect()
}

#[allow(clippy::too_many_arguments)]
fn finish<L: Loss>(
    args: &Args,
    common: &Common,
    line: &str,
    header: &Header,
    weights: &[f64],
    blocks: &Blocks,
    path: &[Vec<f64>],
    workers: &mut [L],
) -> Result<Outcome> {
    if interrupted() {
        return Err(Error::Cancelled);
    }
    let out = OutDir::open(
        common,
        "landscape",
        line,
        header.direction_seeds.first().copied(),
    )?;
    let folder = out.path().to_owned();
    if !args.resume && !common.force && Header::read(&folder).is_ok_and(|(_, complete)| !complete) {
        return Err(Error::file(
            &folder,
            "holds a landscape that is not finished; add --resume to go on, --force to start over, or choose another --out",
        ));
    }
    let seeds = header.direction_seeds.len();
    let steps = header.lanczos_steps * seeds;
    let mut progress: Option<(&str, Progress)> = None;
    let mut each = |event: Event| {
        let (what, done, all) = match event {
            Event::Aimed(done) => ("directions", done, 2 * steps),
            Event::Points(done) => ("surface", done, header.grid.points() * seeds),
            Event::Products(done) => ("Hessian", done, 3 * steps),
        };
        if progress.as_ref().is_none_or(|(before, _)| *before != what) {
            // The bar before must be gone first.
            progress = None;
            progress = Some((what, Progress::of_long_steps(what, done, all)));
        }
        if let Some((_, progress)) = &mut progress {
            progress.at(done);
        }
        if interrupted() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let directions = aim(header, weights, blocks, &mut workers[0], &mut each)?;
    out.write(Vec::new())?;
    let made = make(
        Run {
            header,
            weights,
            blocks,
            directions: &directions,
            path,
            workers,
            folder: &folder,
            resume: args.resume,
        },
        &mut each,
    );
    drop(progress);
    let found = match made {
        Err(Error::Cancelled) => {
            let resume = if args.resume { "" } else { " --resume" };
            eprintln!("gdcert: stopped; what is done is kept. To go on: {line}{resume}");
            return Ok(Outcome::Stopped);
        }
        found => found?,
    };
    if header.grid.size == 1 {
        eprintln!("gdcert: a grid of one point has no surface to measure or draw");
    } else {
        draw(&out, &[&found])?;
    }
    if common.json {
        print(&format!("{:#}\n", found.json()?));
    } else {
        print(&summary(&found)?);
        print(&format!("Files in {}\n", out.path().display()));
    }
    Ok(Outcome::Fine)
}

fn draw_again(folders: &[PathBuf], common: &Common, line: &str) -> Result<Outcome> {
    let found = folders
        .iter()
        .map(|folder| Finished::read(folder))
        .collect::<Result<Vec<_>>>()?;
    for (folder, found) in folders.iter().zip(&found) {
        if found.header.grid.size == 1 {
            return Err(Error::file(
                folder,
                "has one point only, which makes no figure; give one with a larger --grid",
            ));
        }
    }
    // Beside the surface, if it is one.
    let beside = (common.out.is_none() && folders.len() == 1).then(|| folders[0].clone());
    let common = Common {
        threads: None,
        json: common.json,
        out: beside.or_else(|| common.out.clone()),
        force: common.force,
    };
    let out = OutDir::open(&common, "landscape", line, None)?;
    let named: Vec<&Finished> = found.iter().collect();
    draw(&out, &named)?;
    if common.json {
        let all = found
            .iter()
            .map(Finished::json)
            .collect::<Result<Vec<Value>>>()?;
        print(&format!("{:#}\n", Value::Array(all)));
    } else {
        print(&format!("Files in {}\n", out.path().display()));
    }
    Ok(Outcome::Fine)
}

/// contour and relief of the first surface of each.
fn draw(out: &OutDir, found: &[&Finished]) -> Result<()> {
    let same_task = found.iter().all(|f| f.header.task == found[0].header.task);
    let names: Vec<String> = found
        .iter()
        .map(|f| panel_name(&f.header, found.len() > 1 && !same_task))
        .collect();
    let paths: Vec<Vec<(f64, f64)>> = found
        .iter()
        .map(|f| f.paths[0].iter().map(|p| (p.alpha, p.beta)).collect())
        .collect();
    let panels: Vec<Landscape> = found
        .iter()
        .zip(&names)
        .zip(&paths)
        .map(|((found, name), path)| Landscape {
            name,
            surface: &found.surfaces[0],
            path,
        })
        .collect();
    let title = title(&found[0].header, same_task);
    let (contour, relief) = (
        plot::contours(&panels, &title)?,
        plot::reliefs(&panels, &title)?,
    );
    out.write(vec![
        ("contour.svg", contour.svg.into_bytes()),
        ("contour.png", contour.png),
        ("relief.svg", relief.svg.into_bytes()),
        ("relief.png", relief.png),
    ])
}

fn panel_name(header: &Header, with_task: bool) -> String {
    let task = if with_task {
        format!("{}, ", header.task)
    } else {
        String::new()
    };
    let step = header
        .centre
        .step
        .map_or(String::new(), |step| format!(", step {step}"));
    format!("{task}{} attention{step}", header.kernel)
}

fn title(header: &Header, with_task: bool) -> String {
    let mut parts = Vec::new();
    if with_task {
        parts.push(match &header.batch {
            Some(batch) => format!(
                "{} · {} {} samples, length {}",
                header.task, batch.samples, batch.split, batch.read
            ),
            None => header.centre.name.clone(),
        });
    }
    parts.push(match header.directions {
        Choice::Random => format!("random directions, seed {}", header.direction_seeds[0]),
        Choice::Hessian => "sharpest directions".to_owned(),
    });
    parts.join(" · ")
}

fn summary(found: &Finished) -> Result<String> {
    let (header, all) = (&found.header, found.json()?);
    let seeds = header.direction_seeds.len();
    let number = |value: &Value, digits: usize| match (value["mean"].as_f64(), value["sd"].as_f64())
    {
        (Some(mean), Some(sd)) if seeds > 1 => {
            format!("{mean:.digits$} (standard deviation {sd:.digits$})")
        }
        (Some(mean), _) => format!("{mean:.digits$}"),
        _ => "none".to_owned(),
    };
    let mut text = format!(
        "{}, {} attention: loss {:.6} at the centre\n",
        title(header, true),
        header.kernel,
        found.centre_loss()
    );
    let lost: usize = found.roughness().iter().map(|r| r.not_finite).sum();
    if lost > 0 {
        text += &format!(
            "{lost} of {} points have a loss that is not finite; they are left out\n",
            seeds * header.grid.points()
        );
    }
    if header.grid.size > 2 {
        let rough = &all["roughness"];
        text += &format!(
            "Surface of {0} x {0} points, mean of {seeds} direction seed(s):\n",
            header.grid.size
        );
        for (name, key, digits) in [
            ("range of the loss", "range", 4),
            ("share of points that are not convex", "non_convex", 4),
            ("local minima", "local_minima", 1),
            ("total variation / range", "variation", 4),
        ] {
            text += &format!("  {name:<36} {}\n", number(&rough[key], digits));
        }
    }
    if let Some(spaces) = all["hessian"].as_object() {
        text += "Hessian at the centre:\n";
        for (space, found) in spaces {
            text += &format!(
                "  {space:<4} largest eigenvalue {}, smallest {}, error about {}; within 5 % of the largest around 0: {}, below: {}\n",
                number(&found["largest"], 5),
                number(&found["smallest"], 5),
                found["error"]
                    .as_f64()
                    .map_or("unknown".to_owned(), |e| format!("{e:.1e}")),
                number(&found["near_zero"], 3),
                number(&found["negative"], 3),
            );
        }
    }
    Ok(text)
}
