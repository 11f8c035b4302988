// The address of a page with what it shows, so that it can be linked, kept and gone back to.

export function addressOf(page, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null && value !== false);
  const query = new URLSearchParams(given).toString();
  return query ? `#/${page}?${query}` : `#/${page}`;
}

// Puts what a page shows into the address, without a step of the browser's history and without showing it anew.
export function keepAddress(page, parameters) {
  history.replaceState(null, "", addressOf(page, parameters));
}

export function eventAddress({ tenantId, eventId }) {
  return `#/events/${encodeURIComponent(tenantId)}/${encodeURIComponent(eventId)}`;
}
