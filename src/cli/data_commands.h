// The inner commands of dslite data.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace dslite {

struct DataArguments {
  std::string path, other, tokenizer, color = "auto", svg, output;
  std::vector<std::string> held_out;
  int64_t num_samples = 0;
  bool json = false;
};

int check_data(const DataArguments& arguments);
int show_data(const DataArguments& arguments);
int data_stats(const DataArguments& arguments);
int data_diff(const DataArguments& arguments);
int data_report(const DataArguments& arguments);

}  // namespace dslite
