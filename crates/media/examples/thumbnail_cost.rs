//! What thumbnails cost: `cargo run --release -p chaski-media --example thumbnail_cost`, after `cargo build --release -p chaski-media`,
//! which makes the worker.
//!
//! Makes a photograph of 4,000 × 3,000 pixels with some noise in it (or takes the file that is named), has it made small by a worker, and says
//! times, and the worker's memory as the kernel has it. In this process then: what of it is decoding, and `image`'s own ways of shrinking.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program that measures")]

use chaski_media::thumbnail::{Object, Program, Settings, Thumbnails, Width};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, Rgb, RgbImage};
use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("photo");
    match std::env::args_os().nth(1) {
        Some(given) => drop(std::fs::copy(given, &path)?),
        None => std::fs::write(&path, photograph()?)?,
    }
    println!("file: {} KiB", path.metadata()?.len() >> 10);
    runtime.block_on(by_workers(folder.path(), &path))?;
    let bytes = std::fs::read(&path)?;
    let begun = Instant::now();
    let picture = image::load_from_memory(&bytes)?;
    println!(
        "decoding alone: {} ms, {} × {}",
        begun.elapsed().as_millis(),
        picture.width(),
        picture.height()
    );
    let begun = Instant::now();
    let _ = picture.thumbnail(256, 512);
    println!("image's thumbnail: {} ms", begun.elapsed().as_millis());
    let begun = Instant::now();
    let _ = picture.resize(256, 512, FilterType::CatmullRom);
    println!("image's resize, CatmullRom: {} ms", begun.elapsed().as_millis());
    Ok(())
}

async fn by_workers(folder: &Path, path: &Path) -> Result<(), Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let folder_of_binaries = own.parent().and_then(Path::parent).ok_or("a folder of binaries")?;
    let path_of_worker = folder_of_binaries.join("thumbnail-test-worker");
    let program = Program { path: path_of_worker, arguments: Vec::new() };
    let settings = Settings { workers: 1, ..Settings::default() };
    let thumbnails = Thumbnails::start(&folder.join("thumbnails"), program, settings)?;
    for (number, width) in [256, 256, 256, 64, 1024].into_iter().enumerate() {
        let object = Object::named(&format!("photo-{number}")).ok_or("a name")?;
        let path = path.to_owned();
        let begun = Instant::now();
        let made = thumbnails.get(&object, Width::at_least(width), async { File::open(path) }).await?;
        let took = begun.elapsed();
        let found = Instant::now();
        thumbnails
            .get(&object, Width::at_least(width), async { Err(std::io::ErrorKind::Other.into()) })
            .await?;
        let found = found.elapsed();
        println!(
            "{width} wide: {} ms, {} KiB {}; once more: {} µs",
            took.as_millis(),
            made.length >> 10,
            made.encoding.media_type(),
            found.as_micros()
        );
    }
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if status.contains(&format!("\nPPid:\t{}\n", std::process::id())) {
            status
                .lines()
                .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmPeak"))
                .for_each(|line| println!("{line}"));
        }
    }
    Ok(())
}

fn photograph() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut noise = 1u32;
    let picture = RgbImage::from_fn(4000, 3000, |x, y| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (noise >> 27) as u8;
        let wave = ((f64::from(x) / 37.0).sin() * (f64::from(y) / 53.0).cos() * 60.0 + 100.0) as u8;
        Rgb([wave + grain, (x / 16) as u8 / 2 + grain, (y / 12) as u8 / 2 + grain])
    });
    let mut bytes = Vec::new();
    DynamicImage::from(picture).write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 90))?;
    Ok(bytes)
}
