// The weights of a model and their gradients, addressed by Hugging Face name.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "src/model/config.h"
#include "src/ops/types.h"

namespace dslite {

class ParameterSet {
 public:
  // Memory for every tensor of the config, uninitialised; fp32 gradients for the trained ones. The trained experts of a
  // layer share one compact stack per projection. Values are written in place and never replaced: modules keep pointers
  // into them.
  ParameterSet(const ModelConfig& config, at::ScalarType dtype,
               const std::function<bool(const std::string& name)>& trained);
  const std::vector<Parameter*>& all() const { return all_; }  // in the order of tensor_specs
  Parameter& at(const std::string& name) const;                // UserError when unknown
  bool any_trained(const std::string& prefix) const;           // among the names that begin so

 private:
  std::vector<std::unique_ptr<Parameter>> owned_;
  std::vector<Parameter*> all_;
  std::unordered_map<std::string, Parameter*> by_name_;
};

}  // namespace dslite
