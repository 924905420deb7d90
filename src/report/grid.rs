//! The matrix drawn for a terminal: a reader finds in five seconds what differs.
//!
//! Rows that need a look are marked, words stand in every place, and columns that do not fit beside
//! each other are numbered and then stand in blocks below each other. Nothing is left out.

use crate::report::escape::line;
use crate::report::layout::{counted, cut, hanging, pad, width};
use crate::report::matrix::{self, Mark, MarkKind, Row};
use crate::report::paint::Paint;
use crate::report::record::Run;

/// The matrix with its legend, ending in a newline.
pub fn draw(run: &Run, screen: usize, paint: Paint) -> String {
    let rows = matrix::rows(run);
    let names = rows
        .iter()
        .map(|row| width(&line(row.name())))
        .max()
        .unwrap_or(0)
        .min(screen * 2 / 5);
    // `> ` or `    `, the name, and two spaces before each column.
    let room = screen.saturating_sub(names + 4);
    let columns = columns(run, &rows, room);
    let mut out = String::new();
    for block in blocks(&columns, room) {
        if !out.is_empty() {
            out.push('\n');
        }
        for part in 0..2 {
            let heads = block
                .iter()
                .map(|n| format!("  {}", pad(&columns[*n].head[part], columns[*n].width)));
            let text = format!("{}{}", " ".repeat(names + 4), heads.collect::<String>());
            if !text.trim().is_empty() {
                out.push_str(&format!("{}\n", paint.style("1", text.trim_end())));
            }
        }
        let mut theme = None;
        for row in &rows {
            if theme != Some(row.theme()) {
                theme = Some(row.theme());
                if !row.theme().is_empty() {
                    out.push_str(&format!("{}\n", paint.style("2", &line(row.theme()))));
                }
            }
            let flag = if row.notable { ">" } else { " " };
            let marks: Vec<(&Mark, usize)> = block
                .iter()
                .map(|n| (&row.marks[*n], columns[*n].width))
                .collect();
            out.push_str(&format!(
                "{flag}   {}",
                pad(&cut(&line(row.name()), names), names)
            ));
            out.push_str(&draw_marks(&marks, paint));
            out.push('\n');
        }
    }
    out.push_str(&format!("\n{}", legend(run, screen)));
    out
}

fn draw_marks(marks: &[(&Mark, usize)], paint: Paint) -> String {
    let mut out = String::new();
    for (n, (mark, to)) in marks.iter().enumerate() {
        let code = match mark.kind {
            MarkKind::Ok => "32",
            MarkKind::Fail => "1;31",
            MarkKind::Gap => "33",
            MarkKind::Undetermined => "35",
            MarkKind::NotApplicable | MarkKind::NotRun => "2",
        };
        out.push_str("  ");
        out.push_str(&paint.style(code, &mark.text));
        if n + 1 < marks.len() {
            out.push_str(&" ".repeat(to.saturating_sub(width(&mark.text))));
        }
    }
    out
}

fn legend(run: &Run, screen: usize) -> String {
    let counts: Vec<String> = matrix::counts(run)
        .into_iter()
        .map(|(kind, n)| format!("{n} {} ({})", kind.word(), kind.meaning()))
        .collect();
    let mut text = format!(
        "{}: {}",
        counted(run.planned_cells, "cell"),
        counts.join(", ")
    );
    text.push_str(". Rows marked > are the ones to look at.");
    hanging("", &text, screen)
}

/// Headings of the columns: name over region, or `[1]` where those do not fit beside each other.
fn columns(run: &Run, rows: &[Row], room: usize) -> Vec<Column> {
    let column = |n: usize, head: [String; 2]| {
        let marks = rows.iter().map(|row| width(&row.marks[n].text));
        let heads = head.iter().map(|part| width(part));
        Column {
            width: marks.chain(heads).max().unwrap_or(0),
            head,
        }
    };
    let targets = || run.targets.iter().enumerate();
    let full: Vec<Column> = targets()
        .map(|(n, target)| {
            let region = target.region.as_deref().map(line).unwrap_or_default();
            column(n, [line(&target.name), region])
        })
        .collect();
    if full.iter().map(|one| one.width + 2).sum::<usize>() <= room {
        return full;
    }
    targets()
        .map(|(n, _)| column(n, [format!("[{}]", n + 1), String::new()]))
        .collect()
}

/// Columns that fit beside each other, so many blocks as are needed; at least one per block.
fn blocks(columns: &[Column], room: usize) -> Vec<Vec<usize>> {
    let mut blocks: Vec<Vec<usize>> = Vec::new();
    let mut used = usize::MAX;
    for (n, column) in columns.iter().enumerate() {
        let wide = column.width + 2;
        match blocks.last_mut() {
            Some(block) if used + wide <= room => {
                block.push(n);
                used += wide;
            }
            _ => {
                blocks.push(vec![n]);
                used = wide;
            }
        }
    }
    blocks
}

struct Column {
    head: [String; 2],
    width: usize,
}
