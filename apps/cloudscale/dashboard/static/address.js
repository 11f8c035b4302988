// The address of a page with what it shows, so that it can be linked, kept and gone back to.

export function addressOf(page, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null && value !== false);
  const query = new URLSearchParams(given).toString();
  return query ? `#/${page}?${query}` : `#/${page}`;
}

// What an address asks for: { name, rest, query }; null when a percent sign in it is followed by no character.
export function readAddress(hash) {
  const [path, ...parameters] = hash.replace(/^#\/?/, "").split("?");
  const query = parameters.join("?");
  try {
    const [name, ...rest] = path.replace(/\/$/, "").split("/").map(decodeURIComponent);
    // URLSearchParams would put other characters for what it cannot read.
    decodeURIComponent(query);
    return { name, rest, query: new URLSearchParams(query) };
  } catch (problem) {
    if (problem instanceof URIError) return null;
    throw problem;
  }
}

export function eventAddress({ tenantId, eventId }) {
  return `#/events/${encodeURIComponent(tenantId)}/${encodeURIComponent(eventId)}`;
}
