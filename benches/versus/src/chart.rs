//! The comparison as a picture: CPU seconds per GB, a bar a collector; what failed has a word instead of a bar.

use std::fmt::Write;

use crate::record::{Record, Section};

const WIDTH: usize = 900;
/// Where labels end: room for 50 characters.
const LABEL_X: usize = 350;
const BAR_MAX: f64 = 420.0;
const ROW: usize = 26;
const HEAD: usize = 44;

/// The SVG's text.
pub(crate) fn svg(record: &Record) -> String {
    let rows: usize = record.sections.iter().map(|section| section.rows.len()).sum();
    let height = 70 + record.sections.len() * HEAD + rows * ROW + 16;
    let mut text = String::new();
    let machine = &record.machine;
    let subtitle = format!(
        "{}, {} cores, Linux {}, {}; other programs took {:.0}% of the processors; fewer is better",
        machine.processor,
        machine.cores,
        machine.kernel,
        record.date,
        record.others_percent()
    );
    write!(
        text,
        concat!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" "##,
            r##"font-family="system-ui, sans-serif" font-size="13"><rect width="{w}" height="{h}" fill="#fff"/>"##,
            r##"<text x="16" y="28" font-size="17" font-weight="600">CPU seconds per GB of log files</text>"##,
            r##"<text x="16" y="50" fill="#555">{subtitle}</text>"##
        ),
        w = WIDTH,
        h = height,
        subtitle = escape(&subtitle)
    )
    .expect("memory");
    text.push('\n');
    let mut y = 70;
    for section in &record.sections {
        bars(section, &mut y, &mut text);
    }
    text.push_str("</svg>\n");
    text
}

fn bars(section: &Section, y: &mut usize, text: &mut String) {
    let mut line = |at: usize, rest: String| {
        writeln!(text, r#"<text x="{at}" y="{}"{rest}</text>"#, *y + 18).expect("memory");
    };
    line(16, format!(r#" font-weight="600">{}"#, escape(&section.title())));
    *y += HEAD - 12;
    let right = section.right();
    let most = right.last().map_or(1.0, |(_, figures)| figures.cpu_s_per_gb).max(f64::MIN_POSITIVE);
    for (row, figures) in &right {
        let width = figures.cpu_s_per_gb / most * BAR_MAX;
        let fill = if row.collector == "ringtail" { "#2b6cb0" } else { "#a0aec0" };
        writeln!(
            text,
            concat!(
                r#"<text x="{}" y="{}" text-anchor="end">{}, {}</text>"#,
                r#"<rect x="{}" y="{}" width="{:.1}" height="17" rx="2" fill="{}"/>"#,
                r#"<text x="{:.1}" y="{}">{:.2}</text>"#
            ),
            LABEL_X,
            *y + 17,
            escape(&row.collector),
            escape(&row.way),
            LABEL_X + 10,
            *y + 4,
            width,
            fill,
            LABEL_X as f64 + 16.0 + width,
            *y + 17,
            figures.cpu_s_per_gb
        )
        .expect("memory");
        *y += ROW;
    }
    for (row, why) in section.wrong() {
        writeln!(
            text,
            r##"<text x="{LABEL_X}" y="{at}" text-anchor="end">{}, {}</text><text x="{}" y="{at}" fill="#c53030">failed: {}</text>"##,
            escape(&row.collector),
            escape(&row.way),
            LABEL_X + 10,
            escape(&why),
            at = *y + 17
        )
        .expect("memory");
        *y += ROW;
    }
    *y += 12;
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
