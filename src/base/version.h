// The program's version.
#pragma once

namespace dslite {

const char* version();  // "0.1.0"
const char* commit();   // short hash of the checkout it was built from, or "unknown"

}  // namespace dslite
