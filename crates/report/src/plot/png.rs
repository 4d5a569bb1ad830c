//! From units to a PNG file.

use super::cannot_draw;
use crate::Result;

/// Averages blocks of `by` x `by` RGB units and encodes the result. `units` is a multiple of `by`.
pub(super) fn encode(rgb: &[u8], units: (u32, u32), by: u32) -> Result<Vec<u8>> {
    let (width, height) = (units.0 / by, units.1 / by);
    let small = average(
        rgb,
        units.0 as usize,
        width as usize,
        height as usize,
        by as usize,
    );
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // Paeth suits flat areas with thin lines.
    encoder.set_filter(png::FilterType::Paeth);
    // 300 dots per inch: the size at which the figure fills the width of a page.
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: 11811,
        yppu: 11811,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header().map_err(cannot_draw)?;
    writer.write_image_data(&small).map_err(cannot_draw)?;
    writer.finish().map_err(cannot_draw)?;
    Ok(file)
}

fn average(rgb: &[u8], stride: usize, width: usize, height: usize, by: usize) -> Vec<u8> {
    let mut small = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let mut sum = 0;
                for dy in 0..by {
                    let row = 3 * ((by * y + dy) * stride + by * x) + c;
                    sum += (0..by)
                        .map(|dx| usize::from(rgb[row + 3 * dx]))
                        .sum::<usize>();
                }
                small.push(((sum + by * by / 2) / (by * by)) as u8);
            }
        }
    }
    small
}
