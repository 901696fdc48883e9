package quarterdeck

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The quick start, and the example of questions, work as pasted into a main, and print what the README says.
func TestQuickStart(t *testing.T) {
	server := startServer(t)
	blocks := fences(t, "README.md")
	questions := slices.IndexFunc(blocks["go"], func(block string) bool { return strings.Contains(block, "onQuestion :=") })
	for printed, program := range []string{blocks["go"][0], blocks["go"][questions]} {
		pasted(t, server, program, blocks["text"][printed])
	}
}

func pasted(t *testing.T, server *testServer, block, printed string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "quick-start.go.txt")
	if err := os.WriteFile(program, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("./quick-start", program)
	command.Env = append(os.Environ(), "QUARTERDECK_ADDR="+server.address, "QUARTERDECK_KEY="+server.key())
	output, err := command.CombinedOutput()
	if err != nil || strings.TrimSpace(string(output)) != strings.TrimSpace(printed) {
		t.Errorf("%s %v", output, err)
	}
}

// fences are the blocks of a Markdown file by their language.
func fences(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string][]string{}
	for index, part := range strings.Split("\n"+string(text), "\n```") {
		if index%2 == 1 {
			language, block, _ := strings.Cut(part, "\n")
			blocks[language] = append(blocks[language], block)
		}
	}
	return blocks
}
