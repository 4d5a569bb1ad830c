//! `gdcert landscape`: the loss around a checkpoint or an instance.

use super::instance::InstanceArgs;
use super::out::{OutDir, run_of};
use super::progress::Progress;
use super::train::{of_data, refuse_others, source};
use super::{Common, Outcome, go_on, interrupted, note, one_of, say, whole};
use crate::{Error, Result};
use clap::builder::TypedValueParser;
use gdcert::check_room;
use gdcert::descent::Steps;
use gdcert::landscape::{
    Blocks, Choice, Event, Finished, Grid, Header, InstanceLoss, Loss, RESULT, Run, Samples,
    Source, aim, instance_blocks, instance_weights, refuse_another, run as make,
};
use gdcert::model::{Kernel, Precision, Trained};
use gdcert_base::files::same_place;
use gdcert_base::files::sha256;
use gdcert_base::input;
use gdcert_base::number::significant;
use gdcert_report::plot::{self, Figure, Format, Landscape, Look};
use gdcert_train::data::{Dataset, Sample, Task};
use gdcert_train::training::check_training_room;
use gdcert_train::training::{Checkpoint, Settings};
use gdcert_train::{ClassifierLoss, classifier_blocks};
use serde_json::{Value, json};
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
    #[arg(
        long,
        value_name = "TASK",
        requires = "checkpoint",
        value_parser = one_of(&["imdb", "pathfinder"]).try_map(|name| name.parse::<Task>()),
        hide_possible_values = true
    )]
    task: Option<Task>,
    /// Folder with the samples, see gdcert data [default with --resume: as before]
    #[arg(long, value_name = "DIR", requires = "checkpoint")]
    data: Option<PathBuf>,
    /// Put the other kernel in the place of the one the checkpoint was trained with
    #[arg(long, requires = "checkpoint")]
    swap_kernel: bool,
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
    #[arg(
        long,
        value_name = "HOW",
        default_value = "random",
        value_parser = one_of(&["random", "hessian"]).try_map(|name| name.parse::<Choice>()),
        hide_possible_values = true
    )]
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

/// Steps of Lanczos' method keep a vector of all weights each.
const MOST_STEPS: usize = 10_000;

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    if !args.plot.is_empty() {
        if args.instance.is_given() {
            return Err(Error::input(
                "--plot draws what is there; drop the flags of an instance",
            ));
        }
        return draw_again(&args.plot, common, line);
    }
    if args.lanczos_steps > MOST_STEPS {
        return Err(Error::input(format!(
            "--lanczos-steps {} must be at most {MOST_STEPS}",
            args.lanczos_steps
        )));
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
    // Parameters are enough: a checkpoint from elsewhere has no optimizer in it.
    let trained = &Checkpoint::read_settings(file)?;
    if let Some(task) = args.task.filter(|task| *task != trained.task) {
        return Err(Error::input(format!(
            "--task {task} but {} was trained on {}",
            file.display(),
            trained.task
        )));
    }
    let earlier = args
        .resume
        .then(|| run_of(&OutDir::place(common, "landscape")));
    let earlier = earlier.flatten();
    let source = &source(args.data.as_deref(), earlier.as_ref())?;
    let count = args.samples.unwrap_or(32);
    let other = match trained.kernel {
        Kernel::Softmax => Kernel::Gaussian,
        Kernel::Gaussian => Kernel::Softmax,
    };
    let kernel = match args.instance.kernel()? {
        Some(kernel) if kernel != trained.kernel && !args.swap_kernel => {
            return Err(Error::input(format!(
                "--kernel {kernel} but {} was trained with {}: these are other weights' losses; add --swap-kernel if that is meant",
                file.display(),
                trained.kernel
            )));
        }
        Some(kernel) => kernel,
        None if args.swap_kernel => other,
        None => trained.kernel,
    };
    let settings = Settings {
        kernel,
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
    })
    .map_err(|e| Error::file(file, e.to_string()))?;
    let (mut data, said_of_data) = settings.task.read(source, read)?;
    let fingerprint = data.fingerprint();
    refuse_others(earlier.as_ref(), &fingerprint, source)?;
    if settings.dev && data.dev.is_empty() {
        data.hold_out(0, 0.1);
    }
    if let Some(said) = said_of_data {
        note(&said);
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
        centre: named(file, Some(Checkpoint::read_step(file)?))?,
        batch: Some(Samples {
            split: split.to_owned(),
            samples: samples.len(),
            read,
            length,
            data: Some(fingerprint.clone()),
        }),
        precision: "f32".to_owned(),
        ..header(
            args,
            asked,
            settings.kernel,
            path.iter().map(|p| p.0.clone()).collect(),
        )
    };
    let weights = as_vector(Checkpoint::read_parameters(file, &settings)?.values());
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
        of_data(source, &fingerprint),
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
        json!({}),
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
    let bytes = input::numbers(file).map_err(|what| Error::file(file, what))?;
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
    more: Value,
) -> Result<Outcome> {
    if interrupted() {
        return Err(Error::Cancelled);
    }
    let mut out = OutDir::open(
        common,
        "landscape",
        line,
        header.direction_seeds.first().copied(),
    )?;
    for input in args.checkpoint.iter().chain(&args.path).chain(&args.data) {
        out.spare(input, None)?;
    }
    args.instance.spare_from(&out)?;
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
        go_on()
    };
    if args.resume {
        refuse_another(header, &folder)?;
    }
    let directions = aim(header, weights, blocks, &mut workers[0], &mut each)?;
    out.describe(more);
    match args.resume {
        true => out.write(Vec::new())?,
        false => out.replace(Vec::<(&str, _)>::new())?,
    }
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
            say(&format!(
                "gdcert: stopped; what is done is kept. To go on: {line}{resume}"
            ));
            return Ok(Outcome::Stopped);
        }
        found => found?,
    };
    if header.grid.size == 1 {
        note("a grid of one point has no surface to measure or draw");
    } else {
        draw(&out, &[&found])?;
    }
    let json = format!("{:#}\n", found.json()?);
    out.say(common, &json, &summary(&found)?);
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
        quiet: common.quiet,
        out: beside.or_else(|| common.out.clone()),
        force: common.force,
    };
    let out = OutDir::open(&common, "landscape", line, None)?;
    let among = folders.iter().any(|f| same_place(f, out.path()));
    if !(among && folders.len() == 1) && out.path().join(RESULT).exists() {
        return Err(Error::file(
            out.path(),
            "holds a landscape of its own; choose another --out for the figures of several",
        ));
    }
    let named: Vec<&Finished> = found.iter().collect();
    draw(&out, &named)?;
    let all = found
        .iter()
        .map(Finished::json)
        .collect::<Result<Vec<Value>>>()?;
    out.say(&common, &format!("{:#}\n", Value::Array(all)), "");
    Ok(Outcome::Fine)
}

/// contour and relief of the first surface of each.
fn draw(out: &OutDir, found: &[&Finished]) -> Result<()> {
    let mut files = Vec::new();
    for (name, figure) in figures(found, &Look::screen())? {
        files.extend(figure.files(name, &Format::SCREEN)?);
    }
    let named = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()));
    out.write(named.collect())
}

/// The contours and the relief of finished landscapes.
pub(super) fn figures(found: &[&Finished], look: &Look) -> Result<[(&'static str, Figure); 2]> {
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
        plot::contours(&panels, &title, look),
        plot::reliefs(&panels, &title, look),
    );
    Ok([("contour", contour), ("relief", relief)])
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
            let (mean, sd) = (significant(mean, digits), significant(sd, digits));
            format!("{mean} (standard deviation {sd})")
        }
        (Some(mean), _) => significant(mean, digits),
        _ => "none".to_owned(),
    };
    let mut text = format!(
        "{}, {} attention: loss {} at the centre\n",
        title(header, true),
        header.kernel,
        significant(found.centre_loss(), 7)
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
            ("local minima", "local_minima", 3),
            ("total variation / range", "variation", 4),
        ] {
            text += &format!("  {name:<36} {}\n", number(&rough[key], digits));
        }
    }
    if let Some(spaces) = all["hessian"].as_object() {
        let limit = if header.batch.is_none() {
            "at most"
        } else {
            "about"
        };
        text += "Hessian at the centre:\n";
        for (space, found) in spaces {
            text += &format!(
                "  {space:<4} largest eigenvalue {}, smallest {}, error {}; within 5 % of the largest around 0: {}, below: {}\n",
                number(&found["largest"], 5),
                number(&found["smallest"], 5),
                found["error"]
                    .as_f64()
                    .map_or("unknown".to_owned(), |e| format!("{limit} {e:.1e}")),
                number(&found["near_zero"], 4),
                number(&found["negative"], 4),
            );
        }
    }
    Ok(text)
}
