//! `trunkdns manual`

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Arguments, fail};

/// The shells that there are completions for.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Fish, Shell::Zsh];

/// Options of `manual`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The folder to write to; it is made if need be.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Writes what packages install beside the program: a manual page a command to
/// `man`, and a file a shell to `completions`.
pub(super) fn run(options: &Options) -> ExitCode {
    match write(&options.folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot write to {}: {error}", options.folder.display())),
    }
}

fn write(folder: &Path) -> io::Result<()> {
    let [pages, completions] = ["man", "completions"].map(|name| folder.join(name));
    std::fs::create_dir_all(&pages)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(Arguments::command(), &pages)?;
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut Arguments::command(), "trunkdns", &completions)?;
    }
    Ok(())
}
