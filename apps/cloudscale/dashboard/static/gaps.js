// Columns with an empty point where points are missing, so that no line is drawn over a time that nobody knows of.

const STEPS = 5;
const LEAST_SECONDS = 10;

// `times` rise; each of `columns` has a value for each of them. Returns [times, ...columns].
export function withGaps(times, columns) {
  const steps = times.slice(1).map((at, index) => at - times[index]);
  const usual = [...steps].sort((one, other) => one - other)[Math.floor(steps.length / 2)] ?? 0;
  const longest = Math.max(STEPS * usual, LEAST_SECONDS);
  const missing = steps.flatMap((step, index) => (step > longest ? [index + 1] : []));
  if (!missing.length) return [times, ...columns];
  const parted = (column, between) => {
    const starts = [0, ...missing];
    return starts.flatMap((start, part) => [...column.slice(start, starts[part + 1] ?? column.length), ...(part < missing.length ? [between(missing[part])] : [])]);
  };
  return [parted(times, (index) => times[index - 1] + usual), ...columns.map((column) => parted(column, () => null))];
}
