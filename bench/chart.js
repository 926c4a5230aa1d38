const WIDTH = 720
const LEFT = 220
const ROW = 34
const TOP = 48

/** A horizontal bar chart as SVG: readable on light and dark pages. */
export function barChart (title, bars) {
  const most = Math.max(...bars.map(({ value }) => value))
  const height = TOP + bars.length * ROW + 12
  const rows = bars.map(({ name, value }, i) => {
    const y = TOP + i * ROW
    const width = Math.round((WIDTH - LEFT - 80) * value / most)
    const colour = name === 'fastify-mlflow-security' ? '#0194e2' : '#9aa4af'
    return `  <text x="${LEFT - 10}" y="${y + 16}" text-anchor="end">${name}</text>
  <rect x="${LEFT}" y="${y}" width="${width}" height="22" rx="3" fill="${colour}"/>
  <text x="${LEFT + width + 8}" y="${y + 16}">${value.toFixed(2)}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" role="img" aria-label="${title}">
  <style>text { font: 14px system-ui, sans-serif; fill: #24292f } @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }</style>
  <text x="12" y="26" style="font-weight: 600">${title}</text>
${rows.join('\n')}
</svg>
`
}
