// The address of a page with what it shows, so that it can be linked, kept and gone back to.

export function addressOf(page, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null && value !== false);
  const query = new URLSearchParams(given).toString();
  return query ? `#/${page}?${query}` : `#/${page}`;
}
