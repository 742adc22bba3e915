//! Output for people (a table) and for scripts (JSON).

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

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

/// A cell: text without its quotes, nothing for what is not there.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A row for each object of a list, a column for each name.
pub(super) fn objects(columns: &[&str], list: &Value) {
    let rows: Vec<Vec<String>> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|object| columns.iter().map(|column| text(&object[*column])).collect())
        .collect();
    let head: Vec<String> = columns.iter().map(|column| column.replace('_', " ").to_uppercase()).collect();
    print(&head.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
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
