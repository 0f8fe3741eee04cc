//! What the source's pictures go through before anything is made of them: rungs and posters are progressive and of
//! standard dynamic range, whatever the publisher sends.
//!
//! Only filters that every ffmpeg has: `zscale` and `libplacebo` depend on how it was built, take as long, and leave whites
//! darker than a viewer expects beside the source.

use caudal_livestream::timeline::VideoRange;
use caudal_media::codec::{PictureFormat, Scan};

/// Filters, each with a comma behind it, that make such pictures; of HDR in this size, for it costs by the pixel. One
/// picture comes out for each that goes in, at its time, and keyframes are still marked: the rungs' boundaries hang on that.
pub(crate) fn progressive_sdr(source: &PictureFormat, (width, height): (u32, u32)) -> String {
    // A field that is a picture of its own needs nothing but scaling.
    let deinterlaced =
        if source.scan == Scan::Interlaced { "yadif=mode=send_frame:deint=interlaced," } else { "" };
    let light = match source.range {
        VideoRange::Sdr => return deinterlaced.to_owned(),
        VideoRange::Pq => PQ,
        VideoRange::Hlg => HLG,
    };
    let (light, shown) = (of_each_primary(light), of_each_primary(&shoulder()));
    format!(
        "{deinterlaced}scale={width}:{height}:flags=bilinear:in_color_matrix=bt2020,format=gbrp16,\
         {light},{BT2020_TO_BT709},{shown},{SDR},"
    )
}

/// The same function for red, green and blue, worked out once for each of 65,536 values.
fn of_each_primary(function: &str) -> String {
    format!("lutrgb=r='{function}':g='{function}':b='{function}'")
}

/// Light that SDR can show stays nearly as it is, and all that is brighter finds room above 80 %: a line up to 0.6, then a
/// hyperbola that goes on in the same direction and ends at 1. Then BT.709's curve.
fn shoulder() -> String {
    let light = "val/maxval*10";
    let shown = format!("if(lt({light},0.6),{light},1-0.16/({light}-0.2))");
    format!("maxval*if(lt({shown},0.018),4.5*({shown}),1.099*pow({shown},0.45)-0.099)")
}

/// SMPTE ST 2084's EOTF. 1 is ten times the 203 cd/m² at which BT.2408 has white.
const PQ: &str = "clip(maxval*10000/2030*pow(max(pow(val/maxval,0.0126833135)-0.8359375,0)\
                  /(18.8515625-18.6875*pow(val/maxval,0.0126833135)),6.277394636),0,maxval)";
/// BT.2100's HLG on a display of 1,000 cd/m², in the same unit. Its gamma is meant for luminance; primary by primary it
/// makes colours a little stronger.
const HLG: &str = "clip(maxval*1000/2030*pow(if(lt(val/maxval,0.5),pow(val/maxval,2)/3,\
                   (exp((val/maxval-0.55991073)/0.17883277)+0.28466892)/12),1.2),0,maxval)";
/// BT.2087's matrix for linear light: what BT.709 cannot show is cut off.
const BT2020_TO_BT709: &str =
    "colorchannelmixer=1.6605:-0.5876:-0.0728:0:-0.1246:1.1329:-0.0083:0:-0.0182:-0.1006:1.1187";
/// Encoders write into the rung what frames are marked as.
const SDR: &str = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,\
                   setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709";
