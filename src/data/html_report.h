// A token file as one HTML page: counts, histogram, rejects, rendered samples. Nothing is loaded from elsewhere.
#pragma once
#include <string>

#include "src/data/token_store.h"
#include "src/text/tokenizer.h"

namespace dslite {

std::string html_report(const TokenStore& store, const Tokenizer& tokenizer, int64_t num_samples);

}  // namespace dslite
