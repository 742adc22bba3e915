//! Output for people (a table) and for scripts (JSON).

use std::io::Write;

use serde::Serialize;

#[expect(clippy::print_stderr, reason = "errors of a command go to the terminal")]
pub(super) fn line(text: &str) {
    let Err(error) = writeln!(std::io::stdout(), "{text}") else { return };
    // A reader that has seen enough (`| head`) closes the pipe; that is no failure. A full disk is.
    if error.kind() != std::io::ErrorKind::BrokenPipe {
        eprintln!("error: cannot write the output: {error}");
        std::process::exit(1);
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?);
    Ok(())
}

/// Left-aligned columns, two spaces apart, the head in capitals.
pub(super) fn print(head: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let render = |cells: Vec<&str>| {
        let mut out = String::new();
        for (width, cell) in widths.iter().zip(cells) {
            out.push_str(&format!("{cell:<width$}  "));
        }
        out.trim_end().to_owned()
    };
    line(&render(head.to_vec()));
    for row in rows {
        line(&render(row.iter().map(String::as_str).collect()));
    }
}
