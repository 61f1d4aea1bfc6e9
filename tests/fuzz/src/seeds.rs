//! Writes what the fuzzer starts from: of each kind of message in the recorded traces the first ones, and some longer pieces.
//!
//! `seeds TRACES FOLDER`

use pinconnector::ami::codec::{Codec, Frame, Kind};
use pinconnector::ami::replay::Recording;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Of each kind of message.
const FIRST: u32 = 3;
/// Messages in a piece.
const PIECE: usize = 12;

fn main() -> io::Result<()> {
    let [traces, folder] = [1, 2].map(|number| env::args().nth(number).map(PathBuf::from).expect("seeds TRACES FOLDER"));
    fs::create_dir_all(&folder)?;
    let mut seen = BTreeMap::new();
    for version in fs::read_dir(traces)? {
        let version = version?.path();
        if !version.is_dir() {
            continue;
        }
        for file in fs::read_dir(version)? {
            let file = file?.path();
            if file.to_string_lossy().ends_with(".ami.gz") {
                write_seeds(&file, &folder, &mut seen)?;
            }
        }
    }
    Ok(())
}

fn write_seeds(file: &Path, folder: &Path, seen: &mut BTreeMap<String, u32>) -> io::Result<()> {
    let recording = Recording::open(file)?;
    let (mut codec, mut fed, mut piece, mut count) = (Codec::new(), 0, Vec::new(), 0);
    loop {
        while let Some(frame) = codec.next_frame() {
            let Frame::Message(message) = frame else { continue };
            let name = match message.kind() {
                Kind::Event(name) => String::from_utf8_lossy(name).into_owned(),
                Kind::Response(_) => "Response".to_owned(),
            };
            let bytes = [message.bytes(), b"\r\n\r\n"].concat();
            let number = seen.entry(name.clone()).or_insert(0);
            *number += 1;
            if *number <= FIRST {
                fs::write(folder.join(format!("{name}-{number}")), &bytes)?;
            }
            piece.extend(bytes);
            count += 1;
        }
        let taken = codec.push(&recording.ami()[fed..]);
        if taken == 0 {
            break;
        }
        fed += taken;
    }
    // The end of a story is where most happens.
    let starts = piece.windows(4).enumerate().filter(|(_, four)| four == b"\r\n\r\n").map(|(at, _)| at + 4);
    let starts: Vec<_> = starts.collect();
    if count > PIECE {
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        fs::write(folder.join(name), &piece[starts[starts.len() - PIECE - 1]..])?;
    }
    Ok(())
}
