// The length histogram as SVG: one bar a bin, its height the share of the fullest bin.
#include <algorithm>

#include "src/base/error.h"
#include "src/data/statistics.h"

namespace dslite {

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string histogram_svg(const std::vector<LengthBin>& bins, const std::string& title) {
  constexpr int kBar = 48, kGap = 8, kHeight = 200, kTop = 48, kBottom = 56, kLeft = 16;
  uint64_t most = 1;
  for (const LengthBin& bin : bins) most = std::max(most, bin.documents);
  const int width = std::max(360, 2 * kLeft + static_cast<int>(bins.size()) * (kBar + kGap));
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" font-size=\"11\" text-anchor=\"middle\">\n"
      "<text x=\"{2}\" y=\"18\" font-size=\"14\" text-anchor=\"start\">{3}</text>\n",
      width, kTop + kHeight + kBottom, kLeft, html_escaped(title));
  for (size_t i = 0; i < bins.size(); ++i) {
    const LengthBin& bin = bins[i];
    const int x = kLeft + static_cast<int>(i) * (kBar + kGap), middle = x + kBar / 2, foot = kTop + kHeight;
    const double height = kHeight * static_cast<double>(bin.documents) / static_cast<double>(most);
    svg += fmt::format(
        "<rect x=\"{}\" y=\"{:.1f}\" width=\"{}\" height=\"{:.1f}\" fill=\"#4477aa\"><title>{} to {} tokens: {} "
        "documents, {} tokens</title></rect>\n",
        x, foot - height, kBar, height, bin.from, bin.to, bin.documents, bin.tokens);
    svg += fmt::format("<text x=\"{}\" y=\"{:.1f}\">{}</text>\n", middle, foot - height - 4, bin.documents);
    svg += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", middle, foot + 16, bin.from);
  }
  svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"start\">tokens of a document, from; documents</text>\n",
                     kLeft, kTop + kHeight + 40);
  return svg + "</svg>\n";
}

}  // namespace dslite
