//! The page of figures: tables between markers are written anew, the words around them stay.

use std::fmt::Write as _;

use crate::{BenchError, Figure};

/// The markers' end.
const END: &str = "<!-- end -->";

/// What the figures were measured on and by.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Day of the run.
    pub date: String,
    /// What ran it.
    pub command: String,
    /// The compiler.
    pub rustc: String,
    /// The file system of the scratch folder.
    pub filesystem: String,
    /// `/proc/cpuinfo`.
    pub cpuinfo: String,
    /// `/proc/meminfo`.
    pub meminfo: String,
    /// `/proc/sys/kernel/osrelease`.
    pub kernel: String,
}

impl Facts {
    /// The machine's part, from `/proc`; what it does not tell stays empty.
    #[must_use]
    pub fn of_this_machine(self) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            cpuinfo: read("/proc/cpuinfo"),
            meminfo: read("/proc/meminfo"),
            kernel: read("/proc/sys/kernel/osrelease"),
            ..self
        }
    }

    fn table(&self) -> String {
        let value = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'));
            line.map(|rest| rest.trim().to_owned()).unwrap_or_default()
        };
        let cores = self.cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        let memory = value(&self.meminfo, "MemTotal");
        let rows = [
            ("date", self.date.clone()),
            ("command", format!("`{}`", self.command)),
            ("processor", format!("{}, {cores} cores", value(&self.cpuinfo, "model name"))),
            ("memory", memory),
            ("kernel", self.kernel.trim().to_owned()),
            ("file system of the ledgers", self.filesystem.clone()),
            ("compiler", format!("{}, release profile", self.rustc)),
        ];
        let mut table = String::from("| | |\n|---|---|\n");
        for (name, fact) in rows {
            let _ = writeln!(table, "| {name} | {fact} |");
        }
        table
    }
}

/// The page with its tables from these figures. Every section of the figures must have its place on the page.
pub fn rewrite(page: &str, facts: &Facts, figures: &[Figure]) -> Result<String, BenchError> {
    let mut page = replace(page, "machine", &facts.table())?;
    let mut sections: Vec<&str> = figures.iter().map(|figure| figure.section.as_str()).collect();
    sections.dedup();
    for section in sections {
        let rows: Vec<&Figure> = figures.iter().filter(|figure| figure.section == section).collect();
        page = replace(&page, section, &table(&rows))?;
    }
    Ok(page)
}

fn table(figures: &[&Figure]) -> String {
    let mut table = String::from(
        "| figure | measured | goal | met | reference, same run | share of it |\n|---|---|---|---|---|---|\n",
    );
    for figure in figures {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} |",
            figure.name,
            figure.measured,
            optional(&figure.goal),
            figure.verdict(),
            optional(&figure.reference),
            optional(&figure.ratio)
        );
    }
    table
}

fn replace(page: &str, section: &str, table: &str) -> Result<String, BenchError> {
    let begin = format!("<!-- measured: {section} -->");
    let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| {
        BenchError::Page(format!(
            "the page has no place for the section {section}: add `{begin}` and `{END}`"
        ))
    })?;
    Ok(format!("{before}{begin}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Goal;

    const PAGE: &str = "# Page\n<!-- measured: machine -->\nold\n<!-- end -->\nwords\n\
                        <!-- measured: desk -->\nold\n<!-- end -->\nmore words\n\
                        <!-- measured: start -->\nkept\n<!-- end -->\n";

    fn facts() -> Facts {
        Facts {
            date: "2026-01-02".to_owned(),
            command: "make bench".to_owned(),
            cpuinfo: "processor\t: 0\nmodel name\t: Some CPU\n\nprocessor\t: 1\nmodel name\t: Some CPU\n"
                .to_owned(),
            ..Facts::default()
        }
    }

    #[test]
    fn tables_are_written_anew_and_words_stay() {
        let figures = [Figure::new("desk", "bars", "5 M")
            .goal("≥ 10 M", Goal::AtLeast(10e6), 5e6)
            .against("reading: 10 M", 0.5)];
        let page = rewrite(PAGE, &facts(), &figures).unwrap();
        for part in [
            "| date | 2026-01-02 |",
            "| processor | Some CPU, 2 cores |",
            "| bars | 5 M | ≥ 10 M | **no** | reading: 10 M | 0.50 |",
            "\nwords\n",
            "\nmore words\n",
            "\nkept\n",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        assert!(!page.contains("old"), "{page}");
        assert_eq!(rewrite(&page, &facts(), &figures).unwrap(), page, "a second time changes nothing");
    }

    #[test]
    fn a_section_without_a_place_is_an_error_that_names_it() {
        let error = rewrite(PAGE, &facts(), &[Figure::new("rss", "a", "b")]).unwrap_err();
        assert!(error.to_string().contains("<!-- measured: rss -->"), "{error}");
    }
}
