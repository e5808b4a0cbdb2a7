#include "src/model/parameters.h"

#include <algorithm>
#include <map>

#include "src/base/error.h"

namespace dslite {
namespace {

// "model.layers.3.mlp.experts.17.up_proj.weight" -> "model.layers.3.mlp.experts.|.up_proj.weight"; empty for every
// other name.
std::string stack_of(const std::string& name) {
  constexpr std::string_view marker = ".mlp.experts.";
  const size_t at = name.find(marker);
  if (at == std::string::npos) return {};
  const size_t number = at + marker.size();
  return name.substr(0, number) + "|" + name.substr(name.find('.', number));
}

std::vector<int64_t> stacked(int64_t count, const std::vector<int64_t>& shape) {
  std::vector<int64_t> out{count};
  out.insert(out.end(), shape.begin(), shape.end());
  return out;
}

struct Stack {
  int64_t num_trained = 0, next = 0;
  at::Tensor gradients;  // [num_trained, ...] fp32
};

}  // namespace

ParameterSet::ParameterSet(const ModelConfig& config, at::ScalarType dtype,
                           const std::function<bool(const std::string& name)>& trained) {
  const std::vector<TensorSpec> specs = tensor_specs(config);
  const auto is_trained = [&](const std::string& name) { return trained && trained(name); };
  std::map<std::string, Stack> stacks;
  for (const TensorSpec& spec : specs) {
    const std::string key = stack_of(spec.name);
    if (!key.empty() && is_trained(spec.name)) ++stacks[key].num_trained;
  }
  for (const TensorSpec& spec : specs) {
    auto parameter = std::make_unique<Parameter>();
    parameter->name = spec.name;
    parameter->value = at::empty(spec.shape, dtype);
    const std::string key = stack_of(spec.name);
    if (!key.empty()) parameter->reduce_group = ReduceGroup::kExpert;
    if (is_trained(spec.name)) {
      if (key.empty()) {
        parameter->grad = at::empty(spec.shape, at::kFloat);
      } else {
        Stack& stack = stacks[key];
        if (!stack.gradients.defined()) stack.gradients = at::empty(stacked(stack.num_trained, spec.shape), at::kFloat);
        parameter->grad = stack.gradients.select(0, stack.next++);
      }
    }
    by_name_[spec.name] = parameter.get();
    all_.push_back(parameter.get());
    owned_.push_back(std::move(parameter));
  }
}

Parameter& ParameterSet::at(const std::string& name) const {
  if (const auto found = by_name_.find(name); found != by_name_.end()) return *found->second;
  std::vector<std::string> known;
  for (const Parameter* parameter : all_) known.push_back(parameter->name);
  fail_input("the model has no tensor {}{}", shown(name), suggestion(name, known));
}

bool ParameterSet::any_trained(const std::string& prefix) const {
  return std::any_of(all_.begin(), all_.end(), [&](const Parameter* parameter) {
    return parameter->trained() && parameter->name.starts_with(prefix);
  });
}

}  // namespace dslite
