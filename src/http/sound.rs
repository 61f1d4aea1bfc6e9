//! Sound that browsers do not play as it lies on the disk, made into WAV while it is read.
//!
//! Asterisk's `ulaw` and `alaw` files are bare G.711, its `sln` bare 16-bit samples; both become a WAV of 16-bit PCM,
//! byte by byte, so that a Range can begin anywhere. GSM 6.10 (`gsm`, and `WAV` in Asterisk's sense) is served as it is: a
//! decoder would be one more thing to trust, browsers offer the file for download, and players know it.

use std::io::{self, Read, Seek, SeekFrom};

/// How the bytes on the disk become the bytes sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    AsItIs,
    /// A WAV header before 16-bit samples, which each come from one byte of G.711.
    MuLaw,
    ALaw,
    /// A WAV header before 16-bit samples that are there already; samples a second.
    Linear(u32),
}

const HEADER_BYTES: u64 = 44;
/// A WAV cannot say that it is longer.
const SAMPLES_BYTES_MAX: u64 = u32::MAX as u64 - HEADER_BYTES;

/// What a file is by its name: Content-Type, and how it is made playable.
pub fn kind_of(name: &str) -> (&'static str, Coding) {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "wav" | "wave" => ("audio/wav", Coding::AsItIs),
        // Asterisk's wav49: GSM 6.10 in a RIFF.
        "WAV" | "wav49" => ("audio/x-wav", Coding::AsItIs),
        "mp3" => ("audio/mpeg", Coding::AsItIs),
        "ogg" | "oga" | "opus" => ("audio/ogg", Coding::AsItIs),
        "m4a" | "mp4" => ("audio/mp4", Coding::AsItIs),
        "flac" => ("audio/flac", Coding::AsItIs),
        "gsm" => ("audio/x-gsm", Coding::AsItIs),
        "ulaw" | "ul" | "mu" | "pcm" => ("audio/wav", Coding::MuLaw),
        "alaw" | "al" => ("audio/wav", Coding::ALaw),
        "sln" | "slin" | "raw" => ("audio/wav", Coding::Linear(8_000)),
        "sln16" => ("audio/wav", Coding::Linear(16_000)),
        "sln48" => ("audio/wav", Coding::Linear(48_000)),
        _ => ("application/octet-stream", Coding::AsItIs),
    }
}

/// How many bytes a file of `stored` bytes becomes.
pub fn length(coding: Coding, stored: u64) -> u64 {
    match coding {
        Coding::AsItIs => stored,
        Coding::MuLaw | Coding::ALaw => HEADER_BYTES + stored.saturating_mul(2).min(SAMPLES_BYTES_MAX & !1),
        Coding::Linear(_) => HEADER_BYTES + stored.min(SAMPLES_BYTES_MAX) / 2 * 2,
    }
}

/// The sound from byte `from` of what is sent.
///
/// # Errors
/// If the file cannot be read there.
pub fn open<F: Read + Seek + Send + 'static>(
    mut file: F,
    coding: Coding,
    stored: u64,
    from: u64,
) -> io::Result<Box<dyn Read + Send>> {
    let samples = length(coding, stored).saturating_sub(HEADER_BYTES);
    let (rate, table) = match coding {
        Coding::AsItIs => {
            file.seek(SeekFrom::Start(from))?;
            return Ok(Box::new(file));
        }
        Coding::MuLaw => (8_000, Some(&MU_LAW)),
        Coding::ALaw => (8_000, Some(&A_LAW)),
        Coding::Linear(rate) => (rate, None),
    };
    let header = wav_header(rate, u32::try_from(samples).unwrap_or(u32::MAX));
    let skipped = from.min(HEADER_BYTES);
    let header = io::Cursor::new(header[usize::try_from(skipped).expect("at most 44")..].to_vec());
    let at = from - skipped;
    match table {
        None => {
            file.seek(SeekFrom::Start(at))?;
            Ok(Box::new(header.chain(file)))
        }
        Some(table) => {
            file.seek(SeekFrom::Start(at / 2))?;
            let mut decoded = Decoded { file, table, half: None };
            if at % 2 == 1 {
                // In the middle of a sample: its first byte is read and thrown away.
                let mut one = [0];
                decoded.read_exact(&mut one)?;
            }
            Ok(Box::new(header.chain(decoded)))
        }
    }
}

/// G.711 becoming 16-bit samples.
struct Decoded<F> {
    file: F,
    table: &'static [i16; 256],
    /// The upper half of a sample whose lower half is out.
    half: Option<u8>,
}

impl<F: Read> Read for Decoded<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if let Some(half) = self.half.take() {
            into[0] = half;
            return Ok(1);
        }
        let mut coded = [0; 4096];
        let wanted = into.len().div_ceil(2).min(coded.len());
        let read = self.file.read(&mut coded[..wanted])?;
        let mut out = 0;
        for byte in &coded[..read] {
            let [low, high] = self.table[usize::from(*byte)].to_le_bytes();
            into[out] = low;
            out += 1;
            match into.get_mut(out) {
                Some(place) => {
                    *place = high;
                    out += 1;
                }
                None => self.half = Some(high),
            }
        }
        Ok(out)
    }
}

fn wav_header(rate: u32, samples_bytes: u32) -> [u8; 44] {
    let mut header = [0; 44];
    header[..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&samples_bytes.saturating_add(36).to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16u32.to_le_bytes());
    header[20..22].copy_from_slice(&1u16.to_le_bytes());
    header[22..24].copy_from_slice(&1u16.to_le_bytes());
    header[24..28].copy_from_slice(&rate.to_le_bytes());
    header[28..32].copy_from_slice(&(rate * 2).to_le_bytes());
    header[32..34].copy_from_slice(&2u16.to_le_bytes());
    header[34..36].copy_from_slice(&16u16.to_le_bytes());
    header[36..40].copy_from_slice(b"data");
    header[40..44].copy_from_slice(&samples_bytes.to_le_bytes());
    header
}

static MU_LAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        // ITU-T G.711: all bits inverted, sign, three bits of segment, four of the step in it.
        let bits = !(code as u8);
        let magnitude = (((bits & 15) as i16) << 3) + 0x84;
        let magnitude = (magnitude << ((bits >> 4) & 7)) - 0x84;
        table[code] = if bits & 0x80 != 0 { -magnitude } else { magnitude };
        code += 1;
    }
    table
};

static A_LAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        // Every second bit is inverted.
        let bits = code as u8 ^ 0x55;
        let segment = (bits >> 4) & 7;
        let step = ((bits & 15) as i16) << 4;
        let magnitude = if segment == 0 { step + 8 } else { (step + 0x108) << (segment - 1) };
        table[code] = if bits & 0x80 != 0 { magnitude } else { -magnitude };
        code += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_is_decoded_as_the_standard_says() {
        // Values of ITU-T G.711's tables, scaled to 16 bits.
        assert_eq!((MU_LAW[0x00], MU_LAW[0x80], MU_LAW[0xff], MU_LAW[0x7f]), (-32_124, 32_124, 0, 0));
        assert_eq!((MU_LAW[0xfe], MU_LAW[0x7e], MU_LAW[0x8f]), (8, -8, 16_764));
        assert_eq!((A_LAW[0xd5], A_LAW[0x55], A_LAW[0xaa], A_LAW[0x2a]), (8, -8, 32_256, -32_256));
    }

    #[test]
    fn a_sound_may_be_begun_anywhere() {
        let stored: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for coding in [Coding::AsItIs, Coding::MuLaw, Coding::ALaw, Coding::Linear(8000)] {
            let all = |from| {
                let file = io::Cursor::new(stored.clone());
                let mut bytes = Vec::new();
                let mut sound = open(file, coding, stored.len() as u64, from).expect("opens");
                sound.read_to_end(&mut bytes).expect("reads");
                bytes
            };
            let whole = all(0);
            assert_eq!(whole.len() as u64, length(coding, stored.len() as u64), "{coding:?}");
            for from in [1, 2, 43, 44, 45, 46, 1000, 1001, 9_999] {
                assert_eq!(all(from), whole[usize::try_from(from).expect("small")..], "{coding:?} from {from}");
            }
        }
    }
}
