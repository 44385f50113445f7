using System.Reflection;
using System.Text;

namespace Serve.Embedded.Tests.Guards;

/// <summary>The public surface is a list in the repository: to add to it is a visible act.</summary>
public sealed class PublicApiTests
{
    private const string List = "docs/public-api.txt";

    [Fact]
    public void PublicApi_IsTheListInTheRepository()
    {
        string actual = Describe(typeof(DeploymentRegistry).Assembly);
        if (Environment.GetEnvironmentVariable("SERVE_UPDATE_DOCS") == "1")
        {
            File.WriteAllText(Path.Combine(Repository.Root, List), actual);
        }

        Assert.True(
            actual == Repository.Read(List).ReplaceLineEndings("\n"),
            $"The public API is not what {List} lists. If that is meant, run the tests with SERVE_UPDATE_DOCS=1 and commit the list. It is now:\n{actual}");
    }

    private static string Describe(Assembly assembly)
    {
        StringBuilder text = new();
        foreach (Type type in assembly.GetExportedTypes().OrderBy(t => t.FullName, StringComparer.Ordinal))
        {
            text.Append(Kind(type)).Append(' ').Append(Name(type)).Append('\n');
            IEnumerable<string> members = type
                .GetMembers(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly)
                .Where(m => m is not MethodInfo { IsSpecialName: true } && !IsOfEveryRecord(m))
                .Select(Describe)
                .Order(StringComparer.Ordinal);
            foreach (string member in members)
            {
                text.Append("    ").Append(member).Append('\n');
            }
        }

        return text.ToString();
    }

    private static bool IsOfEveryRecord(MemberInfo member) =>
        member.Name is "Equals" or "GetHashCode" or "ToString" or "<Clone>$" or "Deconstruct" || member is MethodBase { Name: "op_Equality" or "op_Inequality" };

    private static string Kind(Type type) =>
        type.IsInterface ? "interface"
        : type.IsEnum ? "enum"
        : type.IsValueType ? "struct"
        : type.IsSealed && type.IsAbstract ? "static class"
        : type.IsSealed ? "sealed class"
        : "class";

    private static string Describe(MemberInfo member) => member switch
    {
        PropertyInfo property => $"{Name(property.PropertyType)} {property.Name} {{ {(property.CanRead ? "get; " : "")}{(property.CanWrite ? "set; " : "")}}}",
        MethodInfo method => $"{Name(method.ReturnType)} {method.Name}{(method.IsGenericMethod ? $"<{string.Join(", ", method.GetGenericArguments().Select(Name))}>" : "")}({Parameters(method)})",
        ConstructorInfo constructor => $"new({Parameters(constructor)})",
        FieldInfo field => $"{(field.IsLiteral ? "const " : "")}{Name(field.FieldType)} {field.Name}",
        _ => member.ToString()!,
    };

    private static string Parameters(MethodBase method) =>
        string.Join(", ", method.GetParameters().Select(p => $"{Name(p.ParameterType)} {p.Name}{(p.HasDefaultValue ? " = default" : "")}"));

    private static string Name(Type type)
    {
        if (!type.IsGenericType)
        {
            return type.IsGenericParameter || type.Namespace is null ? type.Name : type.Namespace.StartsWith("System", StringComparison.Ordinal) ? type.Name : type.FullName ?? type.Name;
        }

        string name = (type.GetGenericTypeDefinition().FullName ?? type.Name).Split('`')[0];
        return $"{(type.Namespace!.StartsWith("System", StringComparison.Ordinal) ? name[(name.LastIndexOf('.') + 1)..] : name)}<{string.Join(", ", type.GetGenericArguments().Select(Name))}>";
    }
}
