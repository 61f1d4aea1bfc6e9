//! Where the functions of the released program lie: those that run while it waits or works, side by side.
//!
//! The system maps the program's file in pieces of 64 kB around each page that is touched, so that functions which run here and
//! there make everything between them resident. `often.txt` names them (`build/often` finds them out); names that are gone
//! match nothing, and new ones lie among the rest. GNU's linker and LLVM's both understand what is written here.

use std::path::Path;

/// The linker's script for `list`; `None` where there is nothing to put together.
fn script(list: &str) -> Option<String> {
    let names = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    // What the compiler takes for improbable stands apart.
    let lines: String = names.map(|name| format!("    *(.text.{name} .text.unlikely.{name})\n")).collect();
    (!lines.is_empty()).then(|| format!("SECTIONS {{\n  .text.often : {{\n{lines}  }}\n}}\nINSERT BEFORE .text;\n"))
}

/// Hands the script to the linker of a release for Linux with glibc; `file` is where it may be written.
pub fn arrange(file: &Path) {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
    if !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") {
        return;
    }
    let list = std::fs::read_to_string("build/often.txt").expect("it lies beside this file");
    if let Some(script) = script(&list) {
        std::fs::write(file, script).expect("OUT_DIR can be written");
        println!("cargo:rustc-link-arg-bin=pinconnector=-Wl,-T,{}", file.display());
    }
}
