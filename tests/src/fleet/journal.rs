//! What the processes of a fleet note of each run, and what that shows.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    sync::Arc,
};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of a clock that all processes of a machine share.
///
/// # Panics
///
/// When the machine has been up for 580 years.
#[must_use]
pub fn nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap()
}

/// A process's file, named by its id. What is noted stays noted when the process
/// is killed.
#[derive(Debug, Clone)]
pub struct Journal(Arc<File>);

/// What is noted about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// A handler runs.
    Begin,
    /// It has ended, in whatever way.
    End,
    /// The inbox said that the job is done.
    Done,
    /// The inbox said that it is dead.
    Dead,
}

impl Note {
    const ALL: [(Self, &str); 4] = [
        (Self::Begin, "begin"),
        (Self::End, "end"),
        (Self::Done, "done"),
        (Self::Dead, "dead"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(note, _)| *note == self).unwrap().1
    }
}

/// A run until this is dropped.
#[derive(Debug)]
pub struct Begun {
    journal: Journal,
    job: String,
    attempt: u32,
}

impl Journal {
    /// This process's file in a folder.
    ///
    /// # Panics
    ///
    /// When it cannot be made, or another process had the same id.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let file = folder.join(std::process::id().to_string());
        let mut options = OpenOptions::new();
        Self(Arc::new(
            options.append(true).create_new(true).open(file).unwrap(),
        ))
    }

    /// Notes that a run of this job begins.
    #[must_use]
    pub fn begin(&self, job: &str, attempt: u32) -> Begun {
        self.note(Note::Begin, job, attempt);
        Begun {
            journal: self.clone(),
            job: job.to_owned(),
            attempt,
        }
    }

    /// Notes something, in one write.
    ///
    /// # Panics
    ///
    /// When the disk does not take it whole.
    pub fn note(&self, note: Note, job: &str, attempt: u32) {
        let line = format!("{} {job} {attempt} {}\n", note.word(), nanoseconds());
        let written = (&*self.0).write(line.as_bytes()).unwrap();
        assert_eq!(written, line.len());
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.journal.note(Note::End, &self.job, self.attempt);
    }
}

/// A run of a handler for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Handler and event.
    pub job: String,
    /// From 1.
    pub attempt: u32,
    /// Whose run it was.
    pub pid: u32,
    /// When it began and ended, or was killed; in [`nanoseconds`].
    pub span: (u64, u64),
}

/// What all processes noted.
#[derive(Debug, Default)]
pub struct Journals {
    /// Every run.
    pub runs: Vec<Run>,
    /// How often the inbox said of each job that it is done.
    pub done: HashMap<String, u32>,
    /// How often that it is dead.
    pub dead: HashMap<String, u32>,
}

impl Journals {
    /// Reads the files of a folder. `killed` says which processes were killed,
    /// and when they were seen to be gone: the runs that they did not end, end
    /// there.
    ///
    /// # Panics
    ///
    /// When a run of another process has no end, or a file is not a journal.
    #[must_use]
    pub fn read(folder: &Path, killed: &BTreeMap<u32, u64>) -> Self {
        let mut all = Self::default();
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let pid: u32 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let text = fs::read_to_string(&path).unwrap();
            all.add(pid, &text, killed.get(&pid).copied());
        }
        all
    }

    fn add(&mut self, pid: u32, text: &str, killed: Option<u64>) {
        let mut open: HashMap<(&str, u32), Vec<u64>> = HashMap::new();
        let mut run = |(job, attempt): (&str, u32), begin, end| {
            self.runs.push(Run {
                job: job.to_owned(),
                attempt,
                pid,
                span: (begin, end),
            });
        };
        // A kill may cut the last line off.
        for line in text.split_inclusive('\n').filter(|it| it.ends_with('\n')) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let [word, job, attempt, at] = fields[..] else {
                panic!("{line:?}")
            };
            let (attempt, at): (u32, u64) = (attempt.parse().unwrap(), at.parse().unwrap());
            let note = Note::ALL.iter().find(|(_, known)| *known == word).unwrap();
            match note.0 {
                Note::Begin => open.entry((job, attempt)).or_default().push(at),
                Note::End => {
                    let begin = open.get_mut(&(job, attempt)).and_then(Vec::pop).unwrap();
                    run((job, attempt), begin, at);
                }
                Note::Done => *self.done.entry(job.to_owned()).or_default() += 1,
                Note::Dead => *self.dead.entry(job.to_owned()).or_default() += 1,
            }
        }
        for (job, begins) in open {
            for begin in begins {
                let end = killed.unwrap_or_else(|| panic!("{pid} did not end its run of {job:?}"));
                run(job, begin, end);
            }
        }
    }

    /// Runs of one job that began before another run of it had ended.
    #[must_use]
    pub fn overlaps(&self) -> Vec<(&Run, &Run)> {
        let mut runs: Vec<_> = self.runs.iter().collect();
        runs.sort_by_key(|run| (&run.job, run.span));
        let mut overlaps = Vec::new();
        let mut last: Option<&Run> = None;
        for run in runs {
            let before = last.filter(|last| last.job == run.job);
            if let Some(before) = before.filter(|before| run.span.0 < before.span.1) {
                overlaps.push((before, run));
            }
            // Of those before, the one that ended last.
            if before.is_none_or(|before| before.span.1 <= run.span.1) {
                last = Some(run);
            }
        }
        overlaps
    }

    /// Jobs that the inbox said more than once to have ended: one settlement at
    /// least was by a token that was not the last.
    #[must_use]
    pub fn ended_twice(&self) -> Vec<&str> {
        let ended = self.done.iter().chain(&self.dead);
        let mut twice: Vec<_> = ended.filter(|(_, times)| **times > 1).collect();
        twice.extend(
            self.done
                .iter()
                .filter(|(job, _)| self.dead.contains_key(*job)),
        );
        twice.into_iter().map(|(job, _)| job.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journals(texts: &[&str], killed: Option<u64>) -> Journals {
        let mut all = Journals::default();
        for (pid, text) in (1..).zip(texts) {
            all.add(pid, text, killed);
        }
        all
    }

    #[test]
    fn runs_one_after_another_do_not_overlap() {
        let one = "begin book/a 1 10\nend book/a 1 20\nbegin pay/a 1 15\nend pay/a 1 18\n";
        let two = "begin book/a 2 20\nend book/a 2 30\n";
        assert_eq!(journals(&[one, two], None).overlaps(), []);
    }

    #[test]
    fn a_run_within_another_is_found_though_a_third_is_between() {
        let one = "begin book/a 1 10\nend book/a 1 90\n";
        let two = "begin book/a 2 20\nend book/a 2 30\n";
        let three = "begin book/a 3 40\nend book/a 3 50\n";
        assert_eq!(journals(&[one, two, three], None).overlaps().len(), 2);
    }

    #[test]
    fn the_runs_of_a_killed_process_last_until_the_kill() {
        let (one, two) = ("begin book/a 1 10\nbegin bo", "begin book/a 2 30\n");
        assert_eq!(journals(&[one, two], Some(31)).overlaps().len(), 1);
        assert_eq!(journals(&[one], Some(30)).runs[0].span, (10, 30));
    }

    #[test]
    fn a_job_that_ends_in_two_ways_ended_twice() {
        assert!(
            journals(&["done a 1 1\ndead b 1 2\n"], None)
                .ended_twice()
                .is_empty()
        );
        for text in ["done a 1 1\ndone a 2 2\n", "done a 1 1\ndead a 2 2\n"] {
            assert_eq!(journals(&[text], None).ended_twice(), ["a"]);
        }
    }
}
